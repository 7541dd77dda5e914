#include "net/report/http_server.hpp"

#include <array>
#include <chrono>
#include <utility>

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <spdlog/spdlog.h>

#include "config/settings.hpp"

namespace backedpipe {
namespace {

namespace http = boost::beast::http;

constexpr std::uint32_t kMaxHeaderBytes = 8192;
// From the start of the wait for a request until its answer is sent. Longer than a usual scrape
// interval, so that one connection serves all scrapes.
constexpr auto kTimeout = std::chrono::seconds(30);

}  // namespace

// One request at a time. Its timer keeps the connection alive until the deadline at most.
class HttpServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(StreamSocket socket, const Pages& pages)
      : socket_(std::move(socket)), pages_(&pages), timer_(socket_.get_executor()) {}

  void read() {
    timer_.expires_after(kTimeout);
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (const auto self = weak.lock(); self && !error) self->close();
    });
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    http::async_read_header(socket_, buffer_, *parser_,
                            [self = shared_from_this()](const boost::system::error_code& error,
                                                        std::size_t) { self->received(error); });
  }

  // The server is about to be destroyed.
  void close() {
    pages_ = nullptr;
    timer_.cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  void received(const boost::system::error_code& error) {
    if (pages_ == nullptr) return;
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return refuse(http::status::request_header_fields_too_large, "the header is too large\n");
    }
    if (error && error.category() != http::make_error_code(http::error::bad_method).category()) {
      return close();  // the connection is gone
    }
    if (error == http::error::end_of_stream) return close();
    if (error) return refuse(http::status::bad_request, "this is not HTTP\n");

    const auto& request = parser_->get();
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      return refuse(http::status::method_not_allowed, "only GET and HEAD are answered\n");
    }
    if (!parser_->is_done()) return refuse(http::status::bad_request, "a body is not expected\n");
    const std::string_view target(request.target().data(), request.target().size());
    auto page = (*pages_)(target.substr(0, target.find('?')));
    if (!page) page = Page{404, "text/plain; charset=utf-8", "there is no such page\n"};
    answer(*std::move(page), request.method() == http::verb::head, request.keep_alive());
  }

  void refuse(http::status status, std::string body) {
    answer({static_cast<unsigned>(status), "text/plain; charset=utf-8", std::move(body)}, false,
           false);
  }

  void answer(Page page, bool head, bool keep_alive) {
    response_ = {};
    response_.result(page.status);
    response_.set(http::field::content_type, page.content_type);
    response_.set(http::field::cache_control, "no-store");
    if (page.status == static_cast<unsigned>(http::status::method_not_allowed)) {
      response_.set(http::field::allow, "GET, HEAD");
    }
    response_.keep_alive(keep_alive);
    response_.content_length(page.body.size());
    if (!head) response_.body() = std::move(page.body);
    http::async_write(socket_, response_,
                      [self = shared_from_this(), keep_alive](
                          const boost::system::error_code& error, std::size_t) {
                        if (self->pages_ == nullptr) return;
                        if (!error && keep_alive) return self->read();
                        // Closing with unread input would reset the connection, and the client
                        // could lose the answer.
                        boost::system::error_code ignored;
                        self->socket_.shutdown(boost::asio::socket_base::shutdown_send, ignored);
                        self->drain();
                      });
  }

  // Reads until the client has closed, or the time is up.
  void drain() {
    socket_.async_read_some(
        boost::asio::buffer(rest_),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
          if (self->pages_ == nullptr) return;
          if (error) return self->close();
          self->drain();
        });
  }

  StreamSocket socket_;
  const Pages* pages_;
  boost::asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_{2 * kMaxHeaderBytes};
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
  std::array<char, 1024> rest_;
};

HttpServer::HttpServer(boost::asio::io_context& io, AcceptFailures& failures, const Address& listen,
                       Pages pages)
    : pages_(std::move(pages)),
      listener_(std::make_shared<Listener>(io, failures, ListeningSockets().open(listen))) {}

HttpServer::~HttpServer() {
  listener_->stop();
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) connection->close();
  }
}

void HttpServer::start() {
  listener_->start([this](StreamSocket socket) { accepted(std::move(socket)); });
  spdlog::info("metrics and health on {}", to_string(listener_->address()));
}

void HttpServer::accepted(StreamSocket socket) {
  connections_.remove_if([](const auto& weak) { return weak.expired(); });
  // A client that opens many connections and leaves them open must not lock monitoring out.
  // There may be several too many, after a reload with a lower limit.
  while (!connections_.empty() && connections_.size() >= most_connections_) {
    if (const auto oldest = connections_.front().lock()) oldest->close();
    connections_.pop_front();
  }
  const auto connection = std::make_shared<Connection>(std::move(socket), pages_);
  connections_.push_back(connection);
  connection->read();
}

}  // namespace backedpipe
