// SessionPump: its link.
#include <algorithm>
#include <array>
#include <utility>

#include "session/dial/segment_limit.hpp"
#include "session/pump/session_pump.hpp"

namespace backedpipe {
namespace {

// The rest of a DATA frame is read straight into the ring. The read after that takes only this
// much: the head of the next frame and a few small frames. The rest of the next frame is then again
// read straight into the ring.
constexpr std::size_t kReadBytesAfterFrame = std::size_t{16} << 10;
// The size of a read from a link when memory is short; bytes without room go to the backlog. Also
// when much comes without news.
constexpr std::size_t kSmallReadBytes = std::size_t{16} << 10;

// How many of the pieces, from the front and at least one, have no more than `most` bytes together.
std::size_t fitting(std::span<const ConstBytes> pieces, std::size_t most) {
  std::size_t count = 1;
  for (std::size_t bytes = pieces[0].size(); count < pieces.size(); ++count) {
    bytes += pieces[count].size();
    if (bytes > most) break;
  }
  return count;
}

}  // namespace

std::optional<Hello> SessionPump::begin_handshake(std::uint64_t generation, TimePoint now) {
  return session_.begin_handshake(generation, now, link_);
}

bool SessionPump::welcomed(LinkEnd& link, const Welcome& welcome, ConstBytes early, TimePoint now) {
  if (!session_.welcomed(welcome, now)) return false;
  adopt(link, welcome.generation, early);
  return true;
}

Result<void> SessionPump::attach(LinkEnd& link, const Hello& hello, bool created, ConstBytes early,
                                 TimePoint now) {
  const auto welcome = session_.attach(hello, created, now);
  if (!welcome) return welcome.error();
  // Later, the session's own action for the older link finds no link to close.
  drop_link(LinkFate::abrupt);
  adopt(link, hello.generation, early);
  aside().preface = encode(*welcome);
  return {};
}

void SessionPump::adopt(LinkEnd& link, std::uint64_t generation, ConstBytes early) {
  link_ = &link;
  link_generation_ = generation;
  link_ready_ = {.read = !link.drained()};
  aside_.reset();
  if (!early.empty()) aside().backlog.assign(early.begin(), early.end());
}

SessionPump::Aside& SessionPump::aside() {
  if (!aside_) aside_ = std::make_unique<Aside>();
  return *aside_;
}

void SessionPump::tidy_aside() {
  if (aside_->preface.empty() && aside_->backlog.empty()) aside_.reset();
}

void SessionPump::drop_link(LinkFate fate) {
  if (link_ == nullptr) return;
  link_ = nullptr;
  aside_.reset();
  actions_.push_back(
      {.kind = Action::Kind::close_link, .generation = link_generation_, .fate = fate});
}

void SessionPump::link_ready(std::uint64_t generation, Direction direction) {
  if (link_ == nullptr || generation != link_generation_) return;
  (direction == Direction::read ? link_ready_.read : link_ready_.write) = true;
}

bool SessionPump::write_link(TimeSource now) {
  if (link_ == nullptr || !link_ready_.write) return false;
  std::array<ConstBytes, kMaxPieces> pieces;
  std::size_t count = 0;
  if (!preface().empty()) pieces[count++] = preface();
  count += session_.outgoing(now(), std::span(pieces).subspan(count));
  if (count == 0) return false;
  if (!preface().empty()) count = fitting(std::span(pieces).first(count), kSmallPacketBytes);
  const IoResult result = link_->write(std::span<const ConstBytes>(pieces).first(count));
  if (result.status == IoResult::Status::failed) {
    link_failed(LinkError::Component::writer, result.error, now());
    return true;
  }
  if (result.drained) link_ready_.write = false;
  const std::size_t opening = std::min(result.bytes, preface().size());
  if (opening > 0) {
    const auto begin = aside_->preface.begin();
    aside_->preface.erase(begin, begin + static_cast<std::ptrdiff_t>(opening));
    tidy_aside();
  }
  session_.sent(link_generation_, result.bytes - opening);
  return result.bytes > 0;
}

bool SessionPump::read_link(TimeSource now) {
  // The bytes after the end may be the HELLO of another session.
  if (link_ == nullptr || session_.over()) return false;
  if (has_backlog()) {
    const std::vector<std::byte> waiting = std::exchange(aside_->backlog, {});
    tidy_aside();
    return feed_link(waiting, 0, now());
  }
  if (!link_ready_.read) return false;
  const TimePoint before = now();
  if (session_.pipe().receive_pause(before)) return false;
  const bool small =
      memory_.pools.inbound.scarce() || session_.pipe().receives_much_without_news(before);
  std::array<MutableBytes, kReadPieces + 1> pieces;
  std::size_t count =
      session_.prepare_receive(link_generation_, small ? kSmallReadBytes : kMostReadBytes,
                               std::span(pieces).first(kReadPieces));
  const std::size_t prepared = total_bytes(std::span<const MutableBytes>(pieces).first(count));
  MutableBytes room = memory_.scratch;
  if (prepared > 0) {
    room = room.first(kReadBytesAfterFrame);
  } else if (small) {
    room = room.first(kSmallReadBytes);
  }
  pieces[count++] = room;
  const IoResult result = link_->read(std::span<const MutableBytes>(pieces).first(count));
  if (result.drained) link_ready_.read = false;
  const std::size_t placed = std::min(result.bytes, prepared);
  const bool fed = feed_link(room.first(result.bytes - placed), placed, now());
  switch (result.status) {
    case IoResult::Status::ok:
      return fed;
    case IoResult::Status::closed:
      link_failed(LinkError::Component::reader, {}, now());
      return true;
    case IoResult::Status::failed:
      link_failed(LinkError::Component::reader, result.error, now());
      return true;
    default:
      return false;
  }
}

// Gives `bytes` to the session, in which `placed` bytes before them are already stored; keeps the
// bytes that find no memory. True if the session took any.
bool SessionPump::feed_link(ConstBytes bytes, std::size_t placed, TimePoint now) {
  const std::size_t taken = session_.receive(link_generation_, bytes, now, placed);
  if (taken < bytes.size()) {
    aside().backlog.assign(bytes.begin() + static_cast<std::ptrdiff_t>(taken), bytes.end());
    out_of_memory_ = true;
  }
  return taken + placed > 0;
}

void SessionPump::link_failed(LinkError::Component component, boost::system::error_code error,
                              TimePoint now) {
  drop_link(LinkFate::abrupt);
  session_.link_lost({component, link_generation_, error}, now);
}

}  // namespace backedpipe
