#include "application.hpp"

#include <algorithm>
#include <array>

namespace backedpipe::sim {

Application::Application(Side side, const Script& script, Random& random, TimePoint now)
    : side_(side),
      script_(script),
      random_(random),
      born_(now),
      next_write_(now + script.starts_after),
      next_read_(now + script.starts_after) {}

// Neighbouring offsets never carry the same byte, so that a stream that is off by one shows at its
// first byte.
std::byte Application::byte_at(std::uint64_t offset) const {
  const std::uint64_t salt = side_ == Side::client ? 0 : 1'000'003;
  return static_cast<std::byte>(((offset + salt) * 0x9e3779b97f4a7c15ULL) >> 56);
}

bool Application::pump(Session& session, TimePoint now) {
  if (gone() || session.ended()) return false;
  if (script_.resets_at && now >= born_ + *script_.resets_at &&
      (!script_.resets_when_detached || session.pipe().state() != PipeState::connected) &&
      !(finished_ && end_seen_)) {
    has_reset_ = true;
    session.reset(Reason::application_reset);
    return true;
  }
  const bool wrote = write(session, now);
  return read(session, now) || wrote;
}

bool Application::write(Session& session, TimePoint now) {
  if (finished_ || now < next_write_) return false;
  BackedPipe& pipe = session.pipe();
  if (written_ < script_.total_bytes) {
    const std::uint64_t wanted = std::min<std::uint64_t>(random_.between(1, script_.most_per_write),
                                                         script_.total_bytes - written_);
    std::array<MutableBytes, 2> pieces;
    const std::size_t count = pipe.prepare(wanted, pieces);
    std::size_t room = 0;
    for (std::size_t i = 0; i < count; ++i)
      room += pieces[i].size();
    // A socket may have less to read than there is room for.
    const std::size_t filled = room == 0 ? 0 : random_.between(room / 2, room);
    std::size_t left = filled;
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < pieces[i].size() && left > 0; ++j, --left) {
        pieces[i][j] = byte_at(written_ + filled - left);
      }
    }
    pipe.commit(filled);
    if (filled == 0) return false;
    written_ += filled;
    next_write_ = now + random_.between(Duration(0), script_.write_gap);
    return true;
  }
  if (script_.finishes_last && !end_seen_) return false;
  if (!finish_at_) finish_at_ = now + script_.finish_delay;
  if (now < *finish_at_) return false;
  pipe.finish();
  finished_ = true;
  return true;
}

bool Application::read(Session& session, TimePoint now) {
  if (now < next_read_) return false;
  if (now >= born_ + script_.stalls_at && now < born_ + script_.stalls_at + script_.stalls_for) {
    return false;
  }
  const std::size_t count = read_at_most(session, random_.between(1, script_.most_per_read), now);
  if (count > 0) {
    next_read_ = now + random_.between(Duration(0), script_.read_gap);
    return true;
  }
  if (!session.pipe().end_due()) return false;
  require(!end_seen_, "the end comes once", name(side_));
  session.end_delivered(now);
  end_seen_ = true;
  require(complete(), "no silent end", describe() + " saw a clean end");
  return true;
}

std::size_t Application::read_at_most(Session& session, std::size_t most, TimePoint now) {
  std::array<ConstBytes, 3> pieces;
  const std::size_t count = session.pipe().deliverable(pieces);
  std::size_t taken = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const ConstBytes piece = pieces[i].first(std::min(pieces[i].size(), most - taken));
    require(counterpart_ != nullptr && taken_ + taken + piece.size() <= counterpart_->written_,
            "delivered is a prefix of written", "more arrives than was written");
    for (std::size_t j = 0; j < piece.size(); ++j) {
      require(piece[j] == counterpart_->byte_at(taken_ + taken + j),
              "delivered is a prefix of written",
              std::string("wrong byte at ") + std::to_string(taken_ + taken + j) + " at the " +
                  name(side_));
    }
    taken += piece.size();
  }
  if (taken == 0) return 0;
  taken_ += taken;
  session.delivered(taken, now);
  return taken;
}

std::optional<TimePoint> Application::next_event(TimePoint now) const {
  if (gone()) return std::nullopt;
  std::optional<TimePoint> next;
  const auto consider = [&](TimePoint at) {
    if (at > now) next = earlier(next, at);
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

std::string Application::describe() const {
  return std::string(name(side_)) + "'s application (wrote " + std::to_string(written_) +
         (finished_ ? " and finished" : "") + ", took " + std::to_string(taken_) +
         (end_seen_ ? " and the end" : "") + (has_reset_ ? ", has reset" : "") +
         (told_ ? ", was told" : "") + ")";
}

void Application::tell(Session& session, Reason reason, TimePoint now) {
  if (gone()) return;
  while (random_.chance(50) &&
         read_at_most(session, random_.between(1, script_.most_per_read), now) > 0) {
  }
  told_ = reason;
}

void Application::hurry(TimePoint now) {
  next_write_ = std::min(next_write_, now);
  next_read_ = std::min(next_read_, now);
  script_.write_gap = script_.read_gap = script_.finish_delay = script_.stalls_for = Duration(0);
  script_.starts_after = Duration(0);
  script_.most_per_read = script_.most_per_write = 4096;
  script_.resets_when_detached = false;
  if (finish_at_) finish_at_ = now;
}

}  // namespace backedpipe::sim
