#include "session/pump/session_pump.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/system/errc.hpp>

#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

// The first size of a read from an application, see kMostReadBytes.
constexpr std::uint32_t kLeastReadBytes = std::uint32_t{64} << 10;
// How far reading from an application runs ahead of sending on a healthy link. More would only go
// cold in memory, and the application would believe that its bytes are on their way.
constexpr std::size_t kReadAheadBytes = std::size_t{1} << 20;
// A bulk session yields to other sessions after this many rounds.
constexpr int kRoundsPerTurn = 2;

}  // namespace

SessionPump::SessionPump(Session::Identity identity, Memory& memory, const SessionOptions& options,
                         std::uint64_t seed, TimePoint now, LedgerEntry ledger)
    : memory_(memory),
      session_(std::move(identity), memory.pools, options, seed, now, std::move(ledger)),
      application_read_bytes_(kLeastReadBytes),
      application_watch_(options.application_keepalive) {
  invariant(memory_.scratch.size() >= kLeastScratchBytes);
}

Result<void> SessionPump::restore(const SessionRecord& record, const HeldBytes& held) {
  // Streams begin at 0 with their session.
  bytes_in_ = record.pipe.reader.begin_offset;
  bytes_out_ = record.pipe.writer.end_offset;
  return session_.restore(record, held);
}

// --- the application

bool SessionPump::connect_application(ApplicationEnd& end, FirstWord first_word) {
  if (over_ || session_.application_done()) return false;
  application_ = &end;
  application_ready_ = {.read = first_word == FirstWord::expected};
  return true;
}

void SessionPump::application_ready(Direction direction) {
  (direction == Direction::read ? application_ready_.read : application_ready_.write) = true;
}

void SessionPump::application_broken() {
  if (application_ == nullptr) return;
  application_gone_ = true;
  application_ready_.read = true;
  hear_of_reset();
}

// Without room a broken connection cannot be read: only its error can be taken.
bool SessionPump::hear_of_reset() {
  if (!application_gone_ || application_can_write()) return false;
  // An error is told once, so it must not be lost if this process ends here.
  session_.ledger().begin(LedgerRecord::kReading);
  const auto error = application_->take_error();
  if (error) application_failed(error);
  session_.ledger().done(LedgerRecord::kReading);
  return static_cast<bool>(error);
}

void SessionPump::look_for_application(TimePoint now) {
  const auto due = application_watch_.due();
  if (application_ == nullptr || !due || now < *due) return;
  if (!application_watch_.look(application_->unanswered(), now)) return;
  application_failed(make_error_code(boost::system::errc::timed_out));
}

// The application may still write, and there is room for its bytes.
bool SessionPump::application_can_write() const {
  const BackedWriter& writer = session_.pipe().writer();
  const bool far_ahead = session_.link_healthy() && !application_gone_ &&
                         writer.end() - writer.sent() >= kReadAheadBytes;
  return !writer.finished() && !session_.pipe().resetting() && !far_ahead &&
         writer.ring().size() < writer.ring().capacity();
}

void SessionPump::adapt_read_size(std::size_t read_bytes) {
  if (read_bytes >= application_read_bytes_) {
    application_read_bytes_ = std::min(2 * application_read_bytes_, kMostReadBytes);
  } else if (read_bytes < application_read_bytes_ / 4) {
    application_read_bytes_ = kLeastReadBytes;
  }
}

bool SessionPump::read_application() {
  if (application_ == nullptr) return false;
  if (hear_of_reset()) return true;
  if (!application_ready_.read || !application_can_write()) return false;
  std::array<MutableBytes, kReadPieces> pieces;
  const std::size_t most =
      memory_.pools.inbound.scarce() ? kLeastReadBytes : application_read_bytes_;
  const std::size_t count = session_.prepare(most, pieces);
  if (count == 0) {
    out_of_memory_ = true;
    return false;
  }
  session_.ledger().begin(LedgerRecord::kReading);
  const IoResult result = application_->read(std::span<const MutableBytes>(pieces).first(count));
  session_.commit(result.status == IoResult::Status::ok ? result.bytes : 0);
  if (result.status == IoResult::Status::failed) application_failed(result.error);
  session_.ledger().done(LedgerRecord::kReading);
  if (result.drained) application_ready_.read = false;
  switch (result.status) {
    case IoResult::Status::ok:
      bytes_out_ += result.bytes;
      adapt_read_size(result.bytes);
      return true;
    case IoResult::Status::closed:
      session_.finish();
      return true;
    case IoResult::Status::failed:
      return true;
    default:
      return false;
  }
}

bool SessionPump::write_application(TimeSource now) {
  if (application_ == nullptr) return false;
  bool progress = false;
  std::array<ConstBytes, kMaxPieces> pieces;
  const std::size_t count = application_ready_.write ? session_.deliverable(pieces) : 0;
  if (count > 0) {
    session_.ledger().begin(LedgerRecord::kWriting);
    const IoResult result = application_->write(std::span<const ConstBytes>(pieces).first(count));
    if (result.drained) application_ready_.write = false;
    if (result.status == IoResult::Status::failed) {
      application_failed(result.error);
      return true;
    }
    if (result.bytes > 0) {
      bytes_in_ += result.bytes;
      const TimePoint written_at = now();
      session_.delivered(result.bytes, written_at);
      application_watch_.sent(written_at);
      progress = true;
    }
    session_.ledger().done(LedgerRecord::kWriting);
  }
  if (session_.pipe().end_due()) {
    application_->finish();
    session_.end_delivered(now());
    application_watch_.sent(now());
    progress = true;
  }
  return progress;
}

void SessionPump::application_failed(boost::system::error_code error) {
  // The session first: if this process ends in between, the next one must reset it as well.
  session_.reset(Reason::application_reset);
  std::exchange(application_, nullptr)->reset();
  actions_.push_back({.kind = Action::Kind::application_failed, .error = error});
}

void SessionPump::reset_application(Reason reason) {
  actions_.push_back({.kind = Action::Kind::application_reset, .reason = reason});
  if (application_ == nullptr) return;
  // The application may have the bytes from before the reset, as many as it takes now.
  std::array<ConstBytes, kMaxPieces> pieces;
  if (const std::size_t count = session_.deliverable(pieces); count > 0) {
    bytes_in_ += application_->write(std::span<const ConstBytes>(pieces).first(count)).bytes;
  }
  std::exchange(application_, nullptr)->reset();
}

// --- work

SessionPump::Interests SessionPump::pump(TimeSource now) {
  if (over_) return {};
  if (session_.parked()) return pump_parked(now);
  out_of_memory_ = false;
  // Before the link is judged: after a pause of this process, the bytes that prove it alive may be
  // waiting here.
  read_link(now);
  session_.tick(now(), link_);
  look_for_application(now());
  bool progress = true;
  for (int round = 0; progress && round < kRoundsPerTurn; ++round) {
    progress = read_application();
    progress |= write_link(now);
    progress |= read_link(now);
    progress |= write_application(now);
    run_actions();
    if (over_) return {};
    // What was decided is done before anything else can change the state that it was decided in.
    if (!actions_.empty()) break;
  }
  return interests(progress, now());
}

// The next process has the application, and all that came from the link will come again.
SessionPump::Interests SessionPump::pump_parked(TimeSource now) {
  while (write_link(now)) {
  }
  session_.tick(now(), nullptr);
  run_actions();
  Interests wanted;
  wanted.link_write = link_ != nullptr && !link_ready_.write;
  return wanted;
}

void SessionPump::run_actions() {
  while (const auto action = session_.next_action()) {
    switch (action->kind) {
      case Session::Action::Kind::connect:
        actions_.push_back({.kind = Action::Kind::connect, .generation = action->generation});
        break;
      case Session::Action::Kind::stop_attempt:
        actions_.push_back({.kind = Action::Kind::stop_attempt, .generation = action->generation});
        break;
      case Session::Action::Kind::close_link:
        if (action->generation == link_generation_) drop_link(link_fate());
        break;
      case Session::Action::Kind::reset_application:
        reset_application(action->reason);
        break;
      case Session::Action::Kind::ended:
        over_ = true;
        if (application_ != nullptr) std::exchange(application_, nullptr)->close();
        drop_link(link_fate());
        actions_.push_back({.kind = Action::Kind::ended, .reason = action->reason});
        return;
    }
  }
  if (application_ != nullptr && session_.application_done()) {
    std::exchange(application_, nullptr)->close();
  }
}

SessionPump::LinkFate SessionPump::link_fate() const {
  if (session_.link_reusable() && !aside_) return LinkFate::reuse;
  return session_.end_on_its_way() ? LinkFate::graceful : LinkFate::abrupt;
}

SessionPump::Interests SessionPump::interests(bool again, TimePoint now) const {
  Interests wanted;
  if (application_ != nullptr) {
    wanted.application_read = application_can_write() && !application_ready_.read;
    wanted.application_write =
        !session_.pipe().reader().ring().empty() && !application_ready_.write;
    // An application's reset must be noticed even while nothing is read from it. A connection stays
    // broken, and waiting for its error again would end at once, every time.
    wanted.application_error = !application_gone_;
    wanted.until = application_watch_.due();
  }
  if (link_ != nullptr) {
    // A link is read whatever the application does, but not more often than its frames are worth.
    const auto pause = session_.pipe().receive_pause(now);
    wanted.link_read = !link_ready_.read && !has_backlog() && !pause;
    wanted.link_write = !link_ready_.write;
    wanted.until = earlier(wanted.until, pause);
  }
  wanted.memory = out_of_memory_;
  wanted.again = again;
  wanted.until = earlier(wanted.until, session_.deadline(now));
  return wanted;
}

std::optional<SessionPump::Action> SessionPump::next_action() {
  if (actions_.empty()) return std::nullopt;
  const Action action = actions_.front();
  actions_.erase(actions_.begin());
  if (actions_.empty()) actions_.shrink_to_fit();
  return action;
}

void SessionPump::abandon() {
  over_ = true;
  if (application_ != nullptr) std::exchange(application_, nullptr)->reset();
  link_ = nullptr;
  aside_.reset();
  actions_ = {};
  session_.abandon();
}

}  // namespace backedpipe
