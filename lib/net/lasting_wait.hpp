// Lasting: the handler of a wait that may go on for hours. By default Asio recycles a freed block
// for such an operation, and the block may be several times larger than needed.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace backedpipe {

// The same as std::allocator, which Asio would take for "no allocator was given".
template <typename T>
struct FittingAllocator {
  using value_type = T;

  FittingAllocator() = default;
  template <typename Other>
  FittingAllocator(const FittingAllocator<Other>&) {}

  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* at, std::size_t count) { std::allocator<T>().deallocate(at, count); }

  friend bool operator==(const FittingAllocator&, const FittingAllocator&) { return true; }
};

// Does what boost::asio::bind_allocator does, in no more space than the handler itself.
template <typename Handler>
struct Lasting : Handler {
  using allocator_type = FittingAllocator<std::byte>;

  explicit Lasting(Handler handler) : Handler(std::move(handler)) {}

  allocator_type get_allocator() const noexcept { return {}; }
};

}  // namespace backedpipe
