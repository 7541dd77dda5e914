#include "application.hpp"

#include <algorithm>

#include <boost/system/errc.hpp>

namespace backedpipe::sim {

using Status = IoResult::Status;

Application::Application(Side side, const Script& script, Random& random, const TimePoint& clock,
                         KillPoints& points)
    : side_(side),
      script_(script),
      random_(random),
      now_(clock),
      points_(points),
      born_(clock),
      next_write_(clock + script.starts_after),
      next_read_(clock + script.starts_after) {}

// Neighbouring offsets never carry the same byte, so that a stream off by one shows at its first
// wrong byte.
std::byte Application::byte_at(std::uint64_t offset) const {
  const std::uint64_t salt = side_ == Side::client ? 0 : 1'000'003;
  return static_cast<std::byte>(((offset + salt) * 0x9e3779b97f4a7c15ULL) >> 56);
}

// --- what it does on its own

void Application::act(bool attached) {
  if (gone()) return;
  if (script_.resets_at && now_ >= born_ + *script_.resets_at &&
      (!script_.resets_when_detached || !attached) && !(has_ended() && end_seen_)) {
    has_reset_ = true;
    pending_error_ = make_error_code(boost::system::errc::connection_reset);
    if (!finished_ && random_.chance(50)) {
      last_words_ = random_.between(
          0, std::min<std::uint64_t>(script_.most_per_write, script_.total_bytes - written_));
    }
    return;
  }
  const bool has_said_all = written_ == script_.total_bytes && now_ >= next_write_;
  if (has_said_all && !finish_at_ && (!script_.finishes_last || end_seen_)) {
    finish_at_ = now_ + script_.finish_delay;
  }
}

std::optional<TimePoint> Application::next_event() const {
  if (gone()) return std::nullopt;
  std::optional<TimePoint> next;
  const auto consider = [&](TimePoint at) {
    if (at > now_) next = earlier(next, at);
  };
  if (!finished_) consider(next_write_);
  if (!finished_ && finish_at_) consider(*finish_at_);
  if (!end_seen_) {
    consider(next_read_);
    consider(born_ + script_.stalls_at + script_.stalls_for);
  }
  if (script_.resets_at) consider(born_ + *script_.resets_at);
  return next;
}

void Application::survive() {
  readiness_ = {};
  closed_ = last_try_ = false;
  survived_ = true;
}

void Application::hurry() {
  next_write_ = std::min(next_write_, now_);
  next_read_ = std::min(next_read_, now_);
  script_.write_gap = script_.read_gap = script_.finish_delay = script_.stalls_for = Duration(0);
  script_.starts_after = Duration(0);
  script_.most_per_read = script_.most_per_write = 4096;
  script_.resets_when_detached = false;
  if (finish_at_) finish_at_ = now_;
}

// --- its connection

bool Application::stalls() const {
  return now_ < next_read_ || (now_ >= born_ + script_.stalls_at &&
                               now_ < born_ + script_.stalls_at + script_.stalls_for);
}

bool Application::readable() const {
  return has_reset_ || finished_ || (written_ < script_.total_bytes && now_ >= next_write_) ||
         has_ended();
}

bool Application::writable() const {
  return has_reset_ || !stalls();
}

void Application::check_open() const {
  require(!last_try_, "an end is written only when it may be ready", describe());
  require(!told_ && !closed_, "an end that is closed is left alone", describe());
}

IoResult Application::read(std::span<const MutableBytes> pieces) {
  points_.pass();
  const IoResult result = read_now(pieces);
  points_.pass();
  return result;
}

IoResult Application::read_now(std::span<const MutableBytes> pieces) {
  check_open();
  readiness_.tries_to_read();
  if (has_reset_) {
    if (last_words_ > 0) {
      const IoResult result = give(pieces, last_words_);
      last_words_ -= result.bytes;
      return result;
    }
    if (const auto error = take_error()) return {.status = Status::failed, .error = error};
    return {.status = Status::closed};
  }
  if (finished_) return {.status = Status::closed};
  if (written_ < script_.total_bytes && now_ >= next_write_) {
    const std::uint64_t wanted = random_.between(1, script_.most_per_write);
    const IoResult result =
        give(pieces, std::min<std::uint64_t>(wanted, script_.total_bytes - written_));
    next_write_ = now_ + random_.between(Duration(0), script_.write_gap);
    return result;
  }
  if (has_ended()) {
    finished_ = true;
    return {.status = Status::closed};
  }
  readiness_.read = false;
  return {.status = Status::want_read, .drained = true};
}

// Gives up to `most` bytes, or fewer.
IoResult Application::give(std::span<const MutableBytes> pieces, std::size_t most) {
  const std::size_t room = total_bytes(pieces);
  require(room > 0, "reads into something", describe());
  std::size_t left = std::min(room, most);
  left = random_.between((left + 1) / 2, left);
  IoResult result;
  for (const MutableBytes piece : pieces) {
    for (std::size_t i = 0; i < piece.size() && left > 0; ++i, --left) {
      piece[i] = byte_at(written_++);
      ++result.bytes;
    }
  }
  result.drained = result.bytes < room && random_.chance(60);
  if (result.drained) readiness_.read = false;
  return result;
}

IoResult Application::write(std::span<const ConstBytes> pieces) {
  points_.pass();
  const IoResult result = write_now(pieces);
  points_.pass();
  return result;
}

IoResult Application::write_now(std::span<const ConstBytes> pieces) {
  check_open();
  // Only a connection that is about to be reset may be tried without being ready.
  last_try_ = !readiness_.write;
  require(total_bytes(pieces) > 0, "writes something", describe());
  if (has_reset_) {
    const auto error = take_error();
    return {.status = Status::failed,
            .error = error ? error : make_error_code(boost::system::errc::broken_pipe)};
  }
  if (stalls()) {
    readiness_.write = false;
    return {.status = Status::want_write, .drained = true};
  }
  std::size_t left = random_.between(1, script_.most_per_read);
  IoResult result;
  for (const ConstBytes whole : pieces) {
    const ConstBytes piece = whole.first(std::min(whole.size(), left));
    require(counterpart_ != nullptr && taken_ + piece.size() <= counterpart_->written_,
            "delivered is a prefix of written", "more arrives than was written");
    for (const std::byte byte : piece) {
      require(byte == counterpart_->byte_at(taken_), "delivered is a prefix of written",
              std::string("wrong byte at ") + std::to_string(taken_) + " at the " + name(side_));
      ++taken_;
    }
    result.bytes += piece.size();
    left -= piece.size();
  }
  next_read_ = now_ + random_.between(Duration(0), script_.read_gap);
  result.drained = result.bytes < total_bytes(pieces) && random_.chance(60);
  if (result.drained) readiness_.write = false;
  return result;
}

boost::system::error_code Application::take_error() {
  check_open();
  const boost::system::error_code error = pending_error_.value_or(boost::system::error_code());
  pending_error_.reset();
  return error;
}

void Application::finish() {
  points_.pass();
  check_open();
  // The next process may not know that the end was passed on: to shut down twice does no harm.
  require(!end_seen_ || survived_, "the end comes once", name(side_));
  end_seen_ = true;
  require(complete(), "no silent end", describe() + " saw a clean end");
  points_.pass();
}

void Application::close() {
  points_.pass();
  check_open();
  require(finished_ && end_seen_, "no silent end", describe() + " was closed");
  closed_ = true;
  points_.pass();
}

void Application::reset() {
  points_.pass();
  last_try_ = false;
  check_open();
  told_ = true;
  points_.pass();
}

std::optional<TcpMoved> Application::moved(bool counted) const {
  if (!counted) return TcpMoved{};
  if (gone()) return std::nullopt;
  return TcpMoved{
      .taken = written_, .given = taken_, .end_received = finished_, .end_given = end_seen_};
}

std::string Application::describe() const {
  return std::string(name(side_)) + "'s application (wrote " + std::to_string(written_) +
         (finished_ ? " and finished" : "") + ", took " + std::to_string(taken_) +
         (end_seen_ ? " and the end" : "") + (has_reset_ ? ", has reset" : "") +
         (told_ ? ", was told" : "") + ")";
}

}  // namespace backedpipe::sim
