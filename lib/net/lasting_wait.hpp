// Lasting: the handler of a wait that may go on for hours. Left to itself, Asio puts such an
// operation into whatever memory another has just left, of up to several times its size.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace backedpipe {

// As std::allocator, which Asio would take for "none was asked for".
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

// As boost::asio::bind_allocator, in no more room than the handler itself.
template <typename Handler>
struct Lasting : Handler {
  using allocator_type = FittingAllocator<std::byte>;

  explicit Lasting(Handler handler) : Handler(std::move(handler)) {}

  allocator_type get_allocator() const noexcept { return {}; }
};

}  // namespace backedpipe
