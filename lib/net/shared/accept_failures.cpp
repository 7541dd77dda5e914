#include "net/shared/accept_failures.hpp"

#include <chrono>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

namespace backedpipe {
namespace {

// Longer than listeners pause: the failure is over when no listener has reported it for this long.
// At the limit of descriptors accepting works and fails by turns; that counts as one failure.
constexpr auto kOverAfter = std::chrono::seconds(1);

}  // namespace

void AcceptFailures::add(const Address& listener, const boost::system::error_code& error) {
  if (!failing_.exchange(true)) {
    spdlog::error("listener {}: cannot accept: {}; connections wait until it works",
                  to_string(listener), error.message());
  }
  boost::asio::post(home_, [this] { wait(); });
}

void AcceptFailures::wait() {
  over_.expires_after(kOverAfter);
  over_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    failing_ = false;
    spdlog::info("listeners accept again");
  });
}

}  // namespace backedpipe
