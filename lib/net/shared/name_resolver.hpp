// NameResolver asks the system for the addresses of names. Each lookup has a thread of its own:
// getaddrinfo() cannot be cancelled and takes many seconds during an outage, and one slow name
// would hold up all others on the single thread of Asio's resolver. Simultaneous requests for one
// name share a lookup. One per io_context, found with of(); used on its thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>

namespace backedpipe {

class NameResolver final : public boost::asio::execution_context::service {
 public:
  using Addresses = std::vector<boost::asio::ip::address>;
  // Without an error there is at least one address.
  using Answer = std::function<void(boost::system::error_code error, const Addresses& addresses)>;

  static boost::asio::execution_context::id id;

  explicit NameResolver(boost::asio::io_context& io);

  static NameResolver& of(boost::asio::io_context& io) {
    return boost::asio::use_service<NameResolver>(io);
  }

  // `answer` is always called later. A lookup does not keep the io_context running.
  void resolve(const std::string& name, Answer answer);

 private:
  // Outlives this object while a thread is still in a lookup.
  struct Home;

  void shutdown() override;
  void ask(const std::string& name);
  void answered(const std::string& name, boost::system::error_code error,
                const Addresses& addresses);

  std::shared_ptr<Home> home_;
  std::unordered_map<std::string, std::vector<Answer>> waiting_;
  std::deque<std::string> queue_;  // names in `waiting_` that wait for a thread
  std::size_t asking_ = 0;
};

}  // namespace backedpipe
