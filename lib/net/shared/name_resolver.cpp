#include "net/shared/name_resolver.hpp"

#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <system_error>
#include <thread>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include "net/shared/mutex.hpp"
#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

namespace asio = boost::asio;

// The most lookups at the same time; more of them wait.
constexpr std::size_t kMostThreads = 16;

boost::system::error_code to_error(int code, int saved_errno) {
  switch (code) {
    case 0:
      return {};
    case EAI_AGAIN:
      return asio::error::host_not_found_try_again;
    case EAI_MEMORY:
      return asio::error::no_memory;
    case EAI_SYSTEM:
      return {saved_errno, boost::system::system_category()};
    case EAI_FAIL:
      return asio::error::no_recovery;
    default:
      return asio::error::host_not_found;
  }
}

void append(NameResolver::Addresses& addresses, const sockaddr& from) {
  if (from.sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &from, sizeof v4);
    addresses.emplace_back(asio::ip::address_v4(ntohl(v4.sin_addr.s_addr)));
  } else if (from.sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &from, sizeof v6);
    asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    addresses.emplace_back(asio::ip::address_v6(bytes, v6.sin6_scope_id));
  }
}

// Asks for both families, whatever this machine has now: a network that is just coming up would
// hide one of them, and an address without a route costs nothing.
boost::system::error_code look_up(const std::string& name, NameResolver::Addresses& addresses) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(name.c_str(), nullptr, &hints, &found);
  if (code != 0) return to_error(code, errno);
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    append(addresses, *each->ai_addr);
  }
  ::freeaddrinfo(found);
  if (addresses.empty()) return asio::error::host_not_found;
  return {};
}

}  // namespace

asio::execution_context::id NameResolver::id;

struct NameResolver::Home {
  Mutex mutex;
  asio::io_context* io GUARDED_BY(mutex) = nullptr;  // null once the io_context is going away
};

NameResolver::NameResolver(asio::io_context& io)
    : asio::execution_context::service(io), home_(std::make_shared<Home>()) {
  home_->io = &io;
}

void NameResolver::shutdown() {
  {
    const MutexLock lock(home_->mutex);
    home_->io = nullptr;
  }
  waiting_.clear();
}

void NameResolver::resolve(const std::string& name, Answer answer) {
  std::vector<Answer>& answers = waiting_[name];
  answers.push_back(std::move(answer));
  if (answers.size() > 1) return;
  if (asking_ == kMostThreads) {
    queue_.push_back(name);
    return;
  }
  ask(name);
}

void NameResolver::ask(const std::string& name) {
  ++asking_;
  const auto reply = [this, home = home_, name](boost::system::error_code error,
                                                Addresses addresses) {
    const MutexLock lock(home->mutex);
    if (home->io == nullptr) return;
    asio::post(*home->io,
               [this, name, error, found = std::move(addresses)] { answered(name, error, found); });
  };
  try {
    std::thread([name, reply] {
      Addresses addresses;
      const boost::system::error_code error = look_up(name, addresses);
      reply(error, std::move(addresses));
    }).detach();
  } catch (const std::system_error& error) {
    reply(error.code(), {});
  }
}

void NameResolver::answered(const std::string& name, boost::system::error_code error,
                            const Addresses& addresses) {
  --asking_;
  if (!queue_.empty()) {
    const std::string next = std::move(queue_.front());
    queue_.pop_front();
    ask(next);
  }
  const auto found = waiting_.find(name);
  invariant(found != waiting_.end());
  const std::vector<Answer> answers = std::move(found->second);
  waiting_.erase(found);
  for (const Answer& answer : answers)
    answer(error, addresses);
}

}  // namespace backedpipe
