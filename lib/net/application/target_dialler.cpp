#include "net/application/target_dialler.hpp"

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/dial/connector.hpp"
#include "net/events/event_log.hpp"
#include "net/socket/application_options.hpp"
#include "net/timer.hpp"

namespace backedpipe {
namespace {

// How long a target may take to accept. Meanwhile the client's bytes wait in the pipe.
constexpr Duration kTargetTimeout = std::chrono::seconds(10);
// The pause before the next dial after file descriptors ran out.
constexpr auto kDialAgain = std::chrono::milliseconds(100);

}  // namespace

// One session's dial to its target. Kept alive by its own waits.
class TargetDialler::Dial : public std::enable_shared_from_this<Dial> {
 public:
  Dial(WorkerContext& worker, std::shared_ptr<SessionDriver> session, Address target)
      : io_(worker.io()),
        keepalive_(worker.session_options().application_keepalive),
        session_(std::move(session)),
        target_(std::move(target)),
        give_up_at_(steady_now() + kTargetTimeout),
        again_(io_) {}

  void start() {
    Connector::Handlers handlers;
    handlers.prepare = [keepalive = keepalive_](int socket) {
      prepare_application_socket(socket, keepalive);
    };
    handlers.wrap = [](StreamSocket socket) {
      return make_plain_factory()->wrap(std::move(socket));
    };
    handlers.done = [self = shared_from_this()](Connector::Outcome outcome) {
      if (auto* won = std::get_if<Connector::Won>(&outcome)) {
        return self->session_->connect_application(std::move(won->transport->socket()),
                                                   SessionDriver::FirstWord::unlikely);
      }
      self->lost(std::get<Connector::Lost>(outcome));
    };
    // The system repeats a lost SYN; on a local network that is enough.
    const auto connector =
        std::make_shared<Connector>(io_, std::vector<Address>{target_}, std::move(handlers),
                                    std::make_shared<EndpointCache>(), std::nullopt);
    connector_ = connector;
    connector->start();
  }

  // The session has ended.
  void break_off() {
    again_.cancel();
    if (const auto connector = connector_.lock()) connector->cancel();
  }

 private:
  void lost(const Connector::Lost& lost) {
    const SessionId& id = session_->session().id();
    const LogContext about({.session = id,
                            .service = session_->session().service(),
                            .reason = name(Reason::target_refused)});
    if (!lost.starved || steady_now() + kDialAgain >= give_up_at_) {
      spdlog::warn("session {}: target_refused: {}", to_string(id), lost.why);
      return session_->reset(Reason::target_refused);
    }
    if (session_->session().application_done()) return;
    if (!std::exchange(said_, true)) {
      spdlog::warn("session {}: cannot dial its target yet: {}", to_string(id), lost.why);
    }
    again_.expires_after(kDialAgain);
    again_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
      if (!cancelled) self->start();
    });
  }

  boost::asio::io_context& io_;
  std::optional<Duration> keepalive_;
  std::shared_ptr<SessionDriver> session_;
  Address target_;
  TimePoint give_up_at_;
  Timer again_;
  std::weak_ptr<Connector> connector_;
  bool said_ = false;
};

TargetDialler::TargetDialler(WorkerContext& worker, SessionTable& sessions) : worker_(worker) {
  sessions.on_ended([this](SessionDriver& driver) {
    const auto found = dials_.find(driver.session().id());
    if (found == dials_.end()) return;
    if (const auto dial = found->second.lock()) dial->break_off();
    dials_.erase(found);
  });
}

void TargetDialler::dial(const std::shared_ptr<SessionDriver>& session, const Address& target) {
  if (session->session().application_done()) return;
  const auto dial = std::make_shared<Dial>(worker_, session, target);
  dials_[session->session().id()] = dial;
  dial->start();
}

}  // namespace backedpipe
