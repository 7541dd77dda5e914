#include "net/keep/kept_descriptors.hpp"

#include <algorithm>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace backedpipe {
namespace {

constexpr std::string_view kState = "backedpipe-";
constexpr std::string_view kListener = "kept-";

bool is_kept(std::string_view name) {
  return name.substr(0, kState.size()) == kState || name.substr(0, kListener.size()) == kListener;
}

}  // namespace

KeptDescriptors KeptDescriptors::out_of(std::vector<PassedDescriptor>& passed) {
  KeptDescriptors kept;
  std::erase_if(passed, [&kept](const PassedDescriptor& one) {
    if (!is_kept(one.name)) return false;
    kept.descriptors_.emplace(one.name, one.descriptor);
    return true;
  });
  return kept;
}

KeptDescriptors::~KeptDescriptors() {
  close_rest();
}

KeptDescriptors::KeptDescriptors(KeptDescriptors&& other) noexcept
    : descriptors_(std::exchange(other.descriptors_, {})) {}

std::string KeptDescriptors::name_of_listener(std::string_view listener) {
  return std::string(kListener).append(listener);
}

std::vector<std::string> KeptDescriptors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, descriptor] : descriptors_) {
    if (names.empty() || names.back() != name) names.push_back(name);
  }
  return names;
}

std::vector<int> KeptDescriptors::take(const std::string& name) {
  std::vector<int> taken;
  const auto [first, last] = descriptors_.equal_range(name);
  for (auto each = first; each != last; ++each)
    taken.push_back(each->second);
  descriptors_.erase(first, last);
  return taken;
}

std::optional<int> KeptDescriptors::take_one(const std::string& name,
                                             const std::function<bool(int)>& fits) {
  const auto [first, last] = descriptors_.equal_range(name);
  const auto found =
      std::find_if(first, last, [&fits](const auto& each) { return fits(each.second); });
  if (found == last) return std::nullopt;
  const int descriptor = found->second;
  descriptors_.erase(found);
  return descriptor;
}

void KeptDescriptors::end_listeners(const std::function<bool(int)>& in_the_way) const {
  for (const auto& [name, descriptor] : descriptors_) {
    const bool listens = name.starts_with(kListener);
    if (listens && in_the_way(descriptor)) ::shutdown(descriptor, SHUT_RDWR);
  }
}

std::vector<std::string> KeptDescriptors::close_rest() {
  std::vector<std::string> names;
  for (const auto& [name, descriptor] : descriptors_) {
    ::close(descriptor);
    if (names.empty() || names.back() != name) names.push_back(name);
  }
  descriptors_.clear();
  return names;
}

}  // namespace backedpipe
