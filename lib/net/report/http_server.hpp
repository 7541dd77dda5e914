// HttpServer: answers GET and HEAD for a few fixed pages, for monitoring. Any client that reaches
// its address may ask. A request costs at most one connection, of bounded size, for a bounded time.
// Part of a Node, on the thread that directs it.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/address.hpp"
#include "net/listen/listener.hpp"

namespace backedpipe {

class HttpServer {
 public:
  struct Page {
    unsigned status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
  };
  // The page at a path; nothing if no page has that path.
  using Pages = std::function<std::optional<Page>(std::string_view path)>;

  // Binds at once; throws std::runtime_error with a sentence that names the address.
  HttpServer(boost::asio::io_context& io, AcceptFailures& failures, const Address& listen,
             Pages pages);
  ~HttpServer();

  void start();
  // How many connections there may be: each takes a descriptor. One more closes the oldest.
  void limit(std::size_t most_connections) { most_connections_ = most_connections; }

 private:
  class Connection;

  void accepted(StreamSocket socket);

  Pages pages_;
  std::shared_ptr<Listener> listener_;
  std::list<std::weak_ptr<Connection>> connections_;  // oldest first
  std::size_t most_connections_ = 32;
};

}  // namespace backedpipe
