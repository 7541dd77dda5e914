// NameResolver asks the system for the addresses of names. Each question has a thread of its own:
// getaddrinfo() cannot be cancelled and takes many seconds when the network is away, and Asio's
// resolver, with its one thread, would keep everybody else's names waiting for it. Whoever asks for
// a name that is being asked for shares the answer. One per io_context, found with of(); used on
// the thread that runs it.
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

  // `answer` is called later, never from here. A question does not keep the io_context running.
  void resolve(const std::string& name, Answer answer);

 private:
  // Outlives this when a thread is still asking.
  struct Home;

  void shutdown() override;
  void ask(const std::string& name);
  void answered(const std::string& name, boost::system::error_code error,
                const Addresses& addresses);

  std::shared_ptr<Home> home_;
  std::unordered_map<std::string, std::vector<Answer>> waiting_;
  std::deque<std::string> queue_;  // names in `waiting_` for which there was no thread left
  std::size_t asking_ = 0;
};

}  // namespace backedpipe
