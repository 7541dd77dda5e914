#include "daemon/ctl/watch/watch.hpp"

#include <csignal>
#include <functional>
#include <unistd.h>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "daemon/ctl/daemon_call.hpp"
#include "daemon/ctl/fail.hpp"
#include "daemon/ctl/watch/feed.hpp"
#include "daemon/ctl/watch/layout.hpp"
#include "daemon/ctl/watch/model.hpp"
#include "daemon/ctl/watch/terminal.hpp"

namespace backedpipe::ctl {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// Applies every event (picture, key, signal, timer) to the model and draws the screen.
class Watch {
 public:
  explicit Watch(const WatchSettings& settings)
      : model_(settings.sort, settings.reverse),
        feed_(context_, {settings.path, settings.session_filter, settings.interval},
              {[this](Json status, Json sessions) {
                 model_.update(std::move(status), std::move(sessions),
                               std::chrono::steady_clock::now());
                 draw();
               },
               [this](std::string problem) {
                 model_.lose(std::move(problem));
                 draw();
               }}),
        keyboard_(context_, ::dup(STDIN_FILENO)),
        resized_(context_, SIGWINCH, SIGCONT),
        ended_(context_, SIGINT, SIGTERM, SIGHUP),
        second_(context_) {}

  void run() {
    ended_.async_wait([this](const error_code& error, int) {
      if (!error) context_.stop();
    });
    wait_for_size();
    wait_for_key();
    wait_a_second();
    feed_.start();
    context_.run();
  }

 private:
  void draw() {
    terminal_.draw(lay_out(model_, terminal_.size(), std::chrono::system_clock::now()));
  }

  void wait_for_size() {
    resized_.async_wait([this](const error_code& error, int) {
      if (error) return;
      terminal_.adapt();
      draw();
      wait_for_size();
    });
  }

  void wait_for_key() {
    keyboard_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [this](const error_code& error) {
                           if (error || !take_keys()) return context_.stop();
                           wait_for_key();
                         });
  }

  // False when a key has ended the watch.
  bool take_keys() {
    while (const auto key = terminal_.read_key()) {
      switch (key->kind) {
        case Terminal::Key::Kind::quit:
          return false;
        case Terminal::Key::Kind::move:
          model_.select(key->move, session_rows(model_, terminal_.size()));
          break;
        case Terminal::Key::Kind::letter:
          model_.press(key->letter);
          break;
        case Terminal::Key::Kind::other:
          break;
      }
    }
    if (terminal_.hung_up()) return false;
    draw();
    return true;
  }

  // Redraws, because ages grow between pictures, too.
  void wait_a_second() {
    second_.expires_after(std::chrono::seconds(1));
    second_.async_wait([this](const error_code& error) {
      if (error) return;
      draw();
      wait_a_second();
    });
  }

  asio::io_context context_{1};
  WatchModel model_;
  // Before signals_: ncurses handles the signals that have no handler yet; ours then replace its
  // handlers.
  Terminal terminal_;
  PictureFeed feed_;
  asio::posix::stream_descriptor keyboard_;
  asio::signal_set resized_;
  asio::signal_set ended_;
  asio::steady_timer second_;
};

}  // namespace

ExitCode watch(const WatchSettings& settings) {
  if (const auto problem = why_no_screen()) return fail(ExitCode::usage, *problem);
  // Printed before the screen is taken, with advice for which the screen has no room.
  const Outcome answer = call(settings.path, {"status"});
  if (!answer) return fail(answer.error().code, answer.error().message);
  Watch(settings).run();
  return ExitCode::done;
}

}  // namespace backedpipe::ctl
