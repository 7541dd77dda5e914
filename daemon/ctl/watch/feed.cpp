#include "daemon/ctl/watch/feed.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "daemon/ctl/daemon_call.hpp"

namespace backedpipe::ctl {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::seconds kTimeout{5};
constexpr std::chrono::milliseconds kLongestRetryPause{1000};
// Far above the size of an answer about the most sessions that a daemon can have.
constexpr std::size_t kMaxAnswerBytes = std::size_t{256} << 20;

}  // namespace

PictureFeed::PictureFeed(asio::io_context& context, Settings settings, Handlers handlers)
    : settings_(std::move(settings)),
      handlers_(std::move(handlers)),
      socket_(context),
      deadline_(context),
      pause_(context),
      request_(to_line({"status"}) + "\n" + to_line({"sessions", settings_.session_filter}) +
               "\n") {}

void PictureFeed::ask() {
  const std::uint64_t round = ++round_;
  received_.clear();
  status_ = nullptr;
  deadline_.expires_after(kTimeout);
  deadline_.async_wait([this, round](const error_code& error) {
    if (!error && round == round_) lose("no answer within 5 s");
  });
  socket_.async_connect(settings_.path, [this, round](const error_code& error) {
    if (!ended(round, error)) send();
  });
}

void PictureFeed::send() {
  asio::async_write(socket_, asio::buffer(request_),
                    [this, round = round_](const error_code& error, std::size_t) {
                      if (!ended(round, error)) receive();
                    });
}

void PictureFeed::receive() {
  asio::async_read_until(socket_, asio::dynamic_buffer(received_, kMaxAnswerBytes), '\n',
                         [this, round = round_](const error_code& error, std::size_t length_bytes) {
                           if (!ended(round, error)) take_line(length_bytes);
                         });
}

// The first line is the status, the second the sessions.
void PictureFeed::take_line(std::size_t length_bytes) {
  Outcome result = result_in(received_.substr(0, length_bytes), settings_.path);
  received_.erase(0, length_bytes);
  if (!result) return lose(result.error().message);
  if (status_.is_null()) {
    status_ = *std::move(result);
    // After a null, the next line would be taken for the status.
    if (!status_.is_object()) return lose("what answers there is not backedpipd");
    return receive();
  }
  rest(settings_.interval);
  handlers_.on_picture(std::move(status_), *std::move(result));
}

void PictureFeed::lose(std::string problem) {
  rest(std::min(settings_.interval, kLongestRetryPause));
  handlers_.on_loss(std::move(problem));
}

void PictureFeed::rest(std::chrono::milliseconds pause) {
  ++round_;
  error_code ignored;
  socket_.close(ignored);
  deadline_.cancel();
  pause_.expires_after(pause);
  pause_.async_wait([this](const error_code& error) {
    if (!error) ask();
  });
}

bool PictureFeed::ended(std::uint64_t round, const error_code& error) {
  if (round != round_) return true;
  if (error) {
    lose(error == asio::error::eof ? "the connection was closed without an answer"
                                   : error.message());
  }
  return static_cast<bool>(error);
}

}  // namespace backedpipe::ctl
