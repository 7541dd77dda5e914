#include "net/session/session_driver.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/lasting_wait.hpp"
#include "net/link/graceful_close.hpp"

namespace backedpipe {
namespace {

// The buffer of one read decides a copying relay's speed, but is a burden to who reads a byte: it
// grows as long as reads fill it.
constexpr std::uint32_t kLeastReadBytes = std::uint32_t{64} << 10;
constexpr std::uint32_t kMostReadBytes = std::uint32_t{1} << 20;
constexpr std::size_t kReadPieces = kMostReadBytes / SegmentPool::kDefaultSegmentBytes + 1;
// How much is read from an application beyond what a healthy link has taken: more would only grow
// cold in memory, and make the application believe that its bytes are on their way.
constexpr std::size_t kReadAheadBytes = std::size_t{1} << 20;
// One read from a link behind the rest of a frame, which goes straight to where it belongs: the
// next frame's head and whatever small ones there are. The rest of that one is then read in the
// same way.
constexpr std::size_t kReadBytesBehindFrame = std::size_t{16} << 10;
// Rounds of one pump: a bulk session then lets others have their turn.
constexpr int kRoundsPerTurn = 2;
// One read from a link while memory is short: what finds no room is kept aside.
constexpr std::size_t kReadBytesWhenScarce = std::size_t{16} << 10;

}  // namespace

SessionDriver::SessionDriver(WorkerContext& worker, const Links& links, SessionObserver& observer,
                             Session::Identity identity, SharedLabels::Labels labels,
                             std::string application)
    : worker_(worker),
      links_(links),
      observer_(observer),
      session_(std::move(identity), worker.pool(), worker.session_options(), worker.random(),
               steady_now()),
      log_(session_, worker.events(), std::move(labels), std::move(application)),
      application_(worker.io()),
      application_read_bytes_(kLeastReadBytes),
      timer_(worker.io()) {}

// --- for the owner

void SessionDriver::connect_application(StreamSocket socket) {
  if (finished_ || session_.application_done()) {
    // A target that was dialled meanwhile: it must not take this for a session that ended well.
    reset_and_close(socket);
    return;
  }
  application_ = std::move(socket);
  application_open_ = true;
  // An application that has connected mostly has something to say at once; a target seldom.
  application_ready_.readable = session_.role() == Role::client;
  set_no_delay(application_);
  pump();
}

void SessionDriver::start() {
  session_.start(steady_now());
  pump();
}

bool SessionDriver::reconnect() {
  const bool possible = session_.reconnect(steady_now());
  pump();
  return possible;
}

void SessionDriver::reset(Reason reason) {
  session_.reset(reason);
  pump();
}

void SessionDriver::distrust() {
  // What TCP has heard until now says nothing of the time after this.
  if (link_) link_->tcp_answer(steady_now());
  session_.distrust(steady_now());
  pump();
}

void SessionDriver::ask() {
  session_.ask(steady_now());
  pump();
}

void SessionDriver::try_now() {
  session_.try_now(steady_now());
  pump();
}

void SessionDriver::abandon() {
  if (finished_) return;
  finished_ = true;
  timer_.cancel();
  if (application_open_) reset_and_close(application_);
  application_open_ = false;
  if (links_.supply != nullptr) links_.supply->give_up(*this, session_.pipe().generation());
  close_gracefully(std::move(link_));
  // Waits in flight may keep this alive for longer than the worker's memory.
  session_.pipe().close();
}

// --- links

void SessionDriver::adopt(std::unique_ptr<Transport> link, std::uint64_t generation,
                          ConstBytes early) {
  link_ = std::move(link);
  link_generation_ = generation;
  link_ready_ = {};
  link_ready_.readable = !link_->drained();
  backlog_.assign(early.begin(), early.end());
  // Told now: it may be lost again before the pump that follows has come to its end.
  watch_state();
}

std::optional<Hello> SessionDriver::hello(std::uint64_t generation) {
  // What has come over a suspect link in the meantime shows that it is alive: then there is nothing
  // to take over.
  link_ready_.readable = true;
  pump();
  if (finished_) return std::nullopt;
  if (session_.suspect()) ask_tcp();
  const auto hello = session_.hello(generation, steady_now());
  pump();
  return hello;
}

void SessionDriver::welcomed(std::unique_ptr<Transport> link, const Welcome& welcome,
                             ConstBytes early) {
  session_.welcomed(welcome, steady_now());
  if (session_.pipe().state() == PipeState::connected &&
      session_.pipe().generation() == welcome.generation) {
    adopt(std::move(link), welcome.generation, early);
  }
  pump();
}

void SessionDriver::refused(std::uint64_t generation, const Refused& refused) {
  log_.went_wrong("refused: " + std::string(name(refused.reason)));
  const LogContext about(log_.log_subject(generation, name(refused.reason)));
  spdlog::warn("session {} generation {}: refused by the server: {}{}{}", to_string(session_.id()),
               generation, name(refused.reason), refused.text.empty() ? "" : ": ", refused.text);
  session_.refused(generation, refused.reason, steady_now());
  pump();
}

void SessionDriver::attempt_failed(std::uint64_t generation, bool rejected,
                                   const std::string& why) {
  // One line when a peer goes away, not one for each of its sessions' attempts.
  if (log_.last_error() != why) {
    const LogContext about(log_.log_subject(generation, {}));
    spdlog::log(rejected ? spdlog::level::warn : spdlog::level::info,
                "session {} generation {}: no link: {}", to_string(session_.id()), generation, why);
  }
  log_.went_wrong(why);
  session_.attempt_failed(generation, rejected, steady_now());
  pump();
}

void SessionDriver::attempt_void(std::uint64_t generation, const std::string& why) {
  spdlog::debug("session {} generation {}: no link: {}", to_string(session_.id()), generation, why);
  session_.attempt_void(generation, steady_now());
  pump();
}

Result<void> SessionDriver::attach(std::unique_ptr<Transport>& link, const Hello& hello,
                                   bool created, ConstBytes early) {
  const auto welcome = session_.attach(hello, created, steady_now());
  if (!welcome) {
    pump_later();
    return welcome.error();
  }
  // The older link goes first; its close action finds another generation and does nothing.
  close_link(link_generation_, false);
  adopt(std::move(link), hello.generation, early);
  preface_ = encode(*welcome);
  pump();
  return {};
}

std::string SessionDriver::link_address() const {
  return link_ ? log_.link_address() : std::string();
}

std::optional<boost::asio::ip::address> SessionDriver::local_address() const {
  return link_ ? local_ip(link_->socket()) : std::nullopt;
}

// --- moving bytes

void SessionDriver::pump() {
  if (finished_) return;
  out_of_memory_ = false;
  // Before judging the link: after a pause of this process, what proves that it is alive waits
  // here.
  read_link();
  const TimePoint now = steady_now();
  if (session_.doubts(now)) ask_tcp();
  session_.tick(now);
  bool progress = true;
  for (int round = 0; progress && round < kRoundsPerTurn; ++round) {
    progress = read_application();
    progress |= write_link();
    progress |= read_link();
    progress |= write_application();
    run_actions();
    if (finished_) return;
  }
  watch_state();
  if (progress) pump_later();
  arm();
}

void SessionDriver::pump_later() {
  if (pump_posted_) return;
  pump_posted_ = true;
  boost::asio::post(worker_.io(), [self = shared_from_this()] {
    self->pump_posted_ = false;
    self->pump();
  });
}

// There is room for what the application writes, and it may still write.
bool SessionDriver::application_can_write() const {
  const BackedWriter& writer = session_.pipe().writer();
  const bool far_ahead = session_.link_healthy() && !application_gone_ &&
                         writer.end() - writer.sent() >= kReadAheadBytes;
  return !application_eof_ && !session_.pipe().resetting() && !far_ahead &&
         writer.ring().size() < writer.ring().capacity();
}

bool SessionDriver::read_application() {
  if (!application_open_ || !application_ready_.readable || !application_can_write()) return false;
  std::array<MutableBytes, kReadPieces> pieces;
  const std::size_t most = worker_.pool().scarce() ? kLeastReadBytes : application_read_bytes_;
  const std::size_t count = session_.pipe().prepare(most, pieces);
  if (count == 0) {
    out_of_memory_ = true;
    return false;
  }
  const IoResult result = read_some(application_.native_handle(), std::span(pieces).first(count));
  session_.pipe().commit(result.status == IoResult::Status::ok ? result.bytes : 0);
  if (result.drained) application_ready_.readable = false;
  switch (result.status) {
    case IoResult::Status::ok:
      log_.taken(result.bytes);
      if (result.bytes >= application_read_bytes_) {
        application_read_bytes_ = std::min(2 * application_read_bytes_, kMostReadBytes);
      } else if (result.bytes < application_read_bytes_ / 4) {
        application_read_bytes_ = kLeastReadBytes;
      }
      return true;
    case IoResult::Status::closed:
      application_eof_ = true;
      session_.pipe().finish();
      return true;
    case IoResult::Status::failed:
      application_failed(result.error);
      return true;
    default:
      return false;
  }
}

bool SessionDriver::write_application() {
  if (!application_open_) return false;
  BackedPipe& pipe = session_.pipe();
  bool progress = false;
  std::array<ConstBytes, kMaxPieces> pieces;
  const std::size_t count = application_ready_.writable ? pipe.deliverable(pieces) : 0;
  if (count > 0) {
    const IoResult result =
        write_some(application_.native_handle(), std::span(pieces).first(count));
    if (result.drained) application_ready_.writable = false;
    if (result.status == IoResult::Status::failed) {
      application_failed(result.error);
      return true;
    }
    log_.delivered(result.bytes);
    if (result.bytes > 0) session_.delivered(result.bytes, steady_now());
    progress = result.bytes > 0;
  }
  if (pipe.end_due()) {
    boost::system::error_code ignored;
    application_.shutdown(boost::asio::socket_base::shutdown_send, ignored);
    session_.end_delivered(steady_now());
    progress = true;
  }
  return progress;
}

bool SessionDriver::write_link() {
  if (!link_ || !link_ready_.writable) return false;
  std::array<ConstBytes, kMaxPieces> pieces;
  std::size_t count = 0;
  if (!preface_.empty()) pieces[count++] = preface_;
  count += session_.outgoing(steady_now(), std::span(pieces).subspan(count));
  if (count == 0) return false;
  const IoResult result = link_->write(std::span(pieces).first(count));
  if (result.status == IoResult::Status::failed) {
    link_failed(LinkError::Component::writer, result.error);
    return true;
  }
  if (result.drained) link_ready_.writable = false;
  const std::size_t opening = std::min(result.bytes, preface_.size());
  if (opening > 0) {
    preface_.erase(preface_.begin(), preface_.begin() + static_cast<std::ptrdiff_t>(opening));
    if (preface_.empty()) preface_.shrink_to_fit();
  }
  session_.sent(link_generation_, result.bytes - opening);
  return result.bytes > 0;
}

bool SessionDriver::read_link() {
  // What comes behind the end may be the HELLO of another session.
  if (!link_ || session_.ended()) return false;
  if (!backlog_.empty()) {
    const std::vector<std::byte> waiting = std::exchange(backlog_, {});
    return feed_link(waiting);
  }
  if (!link_ready_.readable) return false;
  const bool scarce = worker_.pool().scarce();
  std::array<MutableBytes, kReadPieces + 1> pieces;
  std::size_t count =
      session_.prepare_receive(link_generation_, scarce ? kReadBytesWhenScarce : kMostReadBytes,
                               std::span(pieces).first(kReadPieces));
  const std::size_t prepared = total_bytes(std::span<const MutableBytes>(pieces).first(count));
  MutableBytes room = worker_.scratch();
  if (prepared > 0) {
    room = room.first(kReadBytesBehindFrame);
  } else if (scarce) {
    room = room.first(kReadBytesWhenScarce);
  }
  pieces[count++] = room;
  const IoResult result = link_->read(std::span<const MutableBytes>(pieces).first(count));
  if (result.drained) link_ready_.readable = false;
  const std::size_t placed = std::min(result.bytes, prepared);
  const bool fed = feed_link(room.first(result.bytes - placed), placed);
  switch (result.status) {
    case IoResult::Status::ok:
      return fed;
    case IoResult::Status::closed:
      link_failed(LinkError::Component::reader, boost::asio::error::eof);
      return true;
    case IoResult::Status::failed:
      link_failed(LinkError::Component::reader, result.error);
      return true;
    default:
      return false;
  }
}

// Whether the link gets on although nothing comes out of it.
void SessionDriver::ask_tcp() {
  if (!link_) return;
  const TimePoint now = steady_now();
  if (const auto answer = link_->tcp_answer(now)) session_.tcp_answered(*answer, now);
}

// Gives the bytes to the session, which has `placed` ones before them; keeps what it has no memory
// for. True if it took any.
bool SessionDriver::feed_link(ConstBytes bytes, std::size_t placed) {
  const std::size_t taken = session_.receive(link_generation_, bytes, steady_now(), placed);
  if (taken < bytes.size()) {
    backlog_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(taken), bytes.end());
    out_of_memory_ = true;
  }
  return taken + placed > 0;
}

// --- what went wrong

void SessionDriver::application_failed(boost::system::error_code error) {
  const LogContext about(log_.log_subject(0, {}));
  spdlog::debug("session {}: application: {}", to_string(session_.id()), error.message());
  reset_and_close(application_);
  application_open_ = false;
  session_.reset(Reason::application_reset);
}

void SessionDriver::link_failed(LinkError::Component component, boost::system::error_code error) {
  const std::uint64_t generation = link_generation_;
  close_link(generation, false);
  session_.link_lost({component, generation, error}, steady_now());
}

// --- actions

void SessionDriver::run_actions() {
  while (const auto action = session_.next_action()) {
    switch (action->kind) {
      case Session::Action::Kind::connect:
        links_.supply->connect(shared_from_this(), action->generation);
        break;
      case Session::Action::Kind::close_link:
        if (session_.link_reusable()) release_link();
        close_link(action->generation, session_.end_on_its_way());
        if (links_.supply != nullptr) links_.supply->give_up(*this, action->generation);
        break;
      case Session::Action::Kind::reset_application:
        reset_application(action->reason);
        break;
      case Session::Action::Kind::ended:
        finish(action->reason);
        return;
    }
  }
  if (application_open_ && session_.application_done()) close_application();
}

void SessionDriver::close_application() {
  application_open_ = false;
  boost::system::error_code ignored;
  application_.close(ignored);
}

void SessionDriver::reset_application(Reason reason) {
  log_.went_wrong(std::string(name(reason)));
  if (!application_open_) return;
  // What came before the reset is the application's, as far as it takes it now.
  std::array<ConstBytes, kMaxPieces> pieces;
  if (const std::size_t count = session_.pipe().deliverable(pieces); count > 0) {
    log_.delivered(write_some(application_.native_handle(), std::span(pieces).first(count)).bytes);
  }
  application_open_ = false;
  reset_and_close(application_);
}

void SessionDriver::close_link(std::uint64_t generation, bool gracefully) {
  if (!link_ || link_generation_ != generation) return;
  std::unique_ptr<Transport> link = std::move(link_);
  preface_.clear();
  backlog_ = {};
  if (gracefully) close_gracefully(std::move(link));
}

void SessionDriver::release_link() {
  if (!link_ || !backlog_.empty() || !preface_.empty()) return;
  boost::system::error_code ignored;
  link_->socket().cancel(ignored);
  links_.keeper.released(std::move(link_), *this);
}

void SessionDriver::finish(Reason reason) {
  watch_state();
  finished_ = true;
  timer_.cancel();
  if (application_open_) close_application();
  close_link(link_generation_, session_.end_on_its_way());
  log_.ended(reason);
  observer_.ended(*this, reason);
}

// --- reporting

void SessionDriver::watch_state() {
  const SessionLog::Change change = log_.look(link_.get());
  if (change.detached) observer_.detached(*this);
  if (change.attached) observer_.attached(*this);
}

// --- waiting

void SessionDriver::arm() {
  if (application_open_) arm_application();
  if (link_) arm_link();
  if (out_of_memory_) wait_for_memory();
  arm_timer();
}

void SessionDriver::arm_application() {
  if (application_can_write() && !application_ready_.readable) wait_application(Direction::read);
  if (!session_.pipe().reader().ring().empty() && !application_ready_.writable) {
    wait_application(Direction::write);
  }
  // What waits for bytes learns of a reset as well.
  if (!application_ready_.waiting_read) watch_application();
}

void SessionDriver::arm_link() {
  // Always: a link is read whatever the application does.
  if (!link_ready_.readable && backlog_.empty()) wait_link(Direction::read);
  if (!link_ready_.writable) wait_link(Direction::write);
}

// An application that resets its connection is noticed also while nothing is read from it.
void SessionDriver::watch_application() {
  if (std::exchange(application_watched_, true)) return;
  application_.async_wait(StreamSocket::wait_error, [self = shared_from_this()](
                                                        const boost::system::error_code& error) {
    if (error || !self->application_open_) return;
    self->application_watched_ = false;
    if (!is_broken(self->application_.native_handle())) return;
    // Where there is room for it, reading comes first: to the data before the reset, then to it.
    self->application_gone_ = true;
    if (self->application_can_write()) return self->pump();
    boost::asio::detail::socket_option::integer<SOL_SOCKET, SO_ERROR> pending;
    boost::system::error_code ignored;
    self->application_.get_option(pending, ignored);
    if (pending.value() == 0) return;
    self->application_failed({pending.value(), boost::system::system_category()});
    self->pump();
  });
}

void SessionDriver::wait_application(Direction direction) {
  const bool read = direction == Direction::read;
  bool& waiting = read ? application_ready_.waiting_read : application_ready_.waiting_write;
  if (std::exchange(waiting, true)) return;
  application_.async_wait(
      read ? StreamSocket::wait_read : StreamSocket::wait_write,
      Lasting([self = shared_from_this(), read](const boost::system::error_code& error) {
        Readiness& ready = self->application_ready_;
        (read ? ready.waiting_read : ready.waiting_write) = false;
        if (error) return;
        (read ? ready.readable : ready.writable) = true;
        self->pump();
      }));
}

void SessionDriver::wait_link(Direction direction) {
  const bool read = direction == Direction::read;
  bool& waiting = read ? link_ready_.waiting_read : link_ready_.waiting_write;
  if (std::exchange(waiting, true)) return;
  link_->socket().async_wait(
      read ? StreamSocket::wait_read : StreamSocket::wait_write,
      Lasting([self = shared_from_this(), read,
               generation = link_generation_](const boost::system::error_code& error) {
        // Of an older link: the flags are another link's by now.
        if (error || !self->link_ || self->link_generation_ != generation) return;
        Readiness& ready = self->link_ready_;
        (read ? ready.waiting_read : ready.waiting_write) = false;
        (read ? ready.readable : ready.writable) = true;
        self->pump();
      }));
}

void SessionDriver::wait_for_memory() {
  if (std::exchange(waiting_for_memory_, true)) return;
  worker_.memory_waiters().add([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->waiting_for_memory_ = false;
    self->pump();
  });
}

void SessionDriver::arm_timer() {
  const TimePoint now = steady_now();
  std::optional<TimePoint> due = session_.deadline(now);
  // A timer that fires early only looks and is set anew: moving it back is not worth the system
  // calls.
  if (!due || (timer_at_ && *timer_at_ <= *due)) return;
  timer_at_ = due;
  timer_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(*due));
  timer_.async_wait(Lasting([self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;
    self->timer_at_.reset();
    self->link_ready_.readable = true;
    self->pump();
  }));
}

}  // namespace backedpipe
