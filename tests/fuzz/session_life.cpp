#include "tests/fuzz/session_life.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace backedpipe::fuzz {

void run_actions(Session& session) {
  int count = 0;
  while (session.next_action())
    require(++count < 100, "actions come to an end");
}

// --- what a peer may say

std::uint64_t near(std::uint64_t number, FuzzInput& input) {
  return number + static_cast<std::uint64_t>(static_cast<std::int8_t>(input.byte()));
}

Position peer_position(const BackedPipe& pipe, FuzzInput& input) {
  Position position;
  position.received = near(pipe.writer().highest_sent(), input);
  position.delivered = std::min(position.received, near(pipe.writer().acknowledged(), input));
  position.window_limit = input.coin() ? near(pipe.writer().end(), input) : UINT64_MAX;
  return position;
}

std::vector<std::byte> some_frame(const BackedPipe& pipe, FuzzInput& input) {
  const auto type = static_cast<FrameType>(1 + input.byte() % 7);
  const Frame frame{type, near(pipe.writer().acknowledged(), input),
                    near(pipe.reader().received_sequence(), input)};
  const std::size_t payload = type == FrameType::data ? 1 + input.byte() : 0;
  std::array<std::byte, kMaxFramePrefixBytes> prefix;
  const std::size_t size = encode(frame, payload, prefix);
  std::vector<std::byte> bytes(prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(size));
  bytes.resize(size + payload);
  return bytes;
}

// --- events

void SessionLife::step(FuzzInput& input) {
  constexpr std::uint8_t kLinkEvents = 12;
  constexpr std::uint8_t kAllEvents = 18;
  const std::uint8_t which = input.byte() % kAllEvents;
  if (which < kLinkEvents) {
    link_event(which, input);
  } else {
    application_event(which - kLinkEvents, input);
  }
  run_actions(session_);
}

void SessionLife::link_event(std::uint8_t which, FuzzInput& input) {
  const BackedPipe& pipe = session_.pipe();
  switch (which) {
    case 0:
      if (const auto hello = session_.begin_handshake(pipe.candidate().value_or(pipe.generation()),
                                                      now_, nullptr)) {
        require(hello->position.delivered <= hello->position.received, "delivered is received");
        session_.welcomed(Welcome{.session = session_.id(),
                                  .generation = hello->generation,
                                  .position = peer_position(pipe, input),
                                  .created = false},
                          now_);
      }
      break;
    case 1: {
      if (session_.role() == Role::client) break;
      const Hello hello{.session = session_.id(),
                        .generation = near(pipe.generation(), input),
                        .position = peer_position(pipe, input),
                        .open = input.coin(),
                        .service = {}};
      static_cast<void>(session_.attach(hello, hello.open, now_));
      break;
    }
    case 2:
      session_.receive(pipe.generation(), some_frame(pipe, input), now_);
      break;
    case 3:
      session_.sent(pipe.generation(),
                    std::min<std::size_t>(offered_bytes(session_, now_), input.number(2)));
      break;
    case 4:
      session_.start(now_);
      break;
    case 5:
      session_.refused(pipe.generation(), static_cast<Reason>(input.number(2)), now_);
      break;
    case 6:
      now_ += std::chrono::milliseconds(input.number(2));
      session_.tick(now_, nullptr);
      break;
    case 7:
      session_.distrust(now_, nullptr);
      break;
    case 8:
      session_.ask(now_);
      break;
    case 9:
      session_.try_now(now_);
      break;
    case 10:
      session_.attempt_failed(pipe.candidate().value_or(pipe.generation()), input.coin(), now_);
      break;
    default:
      session_.link_lost({LinkError::Component::writer, pipe.generation(), {}}, now_);
      break;
  }
}

void SessionLife::application_event(std::uint8_t which, FuzzInput& input) {
  if (session_.application_done()) return;
  if (!moved_) {
    // A server has reached its target.
    session_.ledger().connected({.socket = 1, .taken_baseline = 2, .given_baseline = 3});
    moved_.emplace();
    return;
  }
  switch (which) {
    case 0:
    case 1:
      session_.commit(read_application(input));
      break;
    case 2:
    case 3:
      if (const std::size_t count = deliverable(input); count > 0) {
        moved_->given += count;
        session_.delivered(count, now_);
      }
      if (session_.pipe().end_due()) {
        moved_->end_given = true;
        session_.end_delivered(now_);
      }
      break;
    case 4:
      moved_->end_received = true;
      session_.finish();
      break;
    default:
      // Often enough, and not so often that nothing else happens.
      if (input.byte() % 8 == 0) session_.reset(Reason::closed_by_operator);
      break;
  }
}

// What it writes is in memory of the session, which has yet to hear of it.
std::size_t SessionLife::read_application(FuzzInput& input) {
  std::array<MutableBytes, 4> pieces;
  const std::size_t used = session_.prepare(input.byte(), pieces);
  std::size_t size = 0;
  for (std::size_t i = 0; i < used; ++i) {
    std::memset(pieces[i].data(), static_cast<int>(1 + moved_->taken % 255), pieces[i].size());
    size += pieces[i].size();
  }
  moved_->taken += size;
  return size;
}

std::size_t SessionLife::deliverable(FuzzInput& input) const {
  std::array<ConstBytes, 4> pieces;
  const std::size_t used = session_.deliverable(pieces);
  std::size_t size = 0;
  for (std::size_t i = 0; i < used; ++i)
    size += pieces[i].size();
  return std::min<std::size_t>(size, input.byte());
}

void SessionLife::pass_unnoticed(FuzzInput& input) {
  if (!moved_ || session_.application_done()) return;
  switch (input.byte() % 4) {
    case 0:
      if (!session_.pipe().writer().finished()) read_application(input);
      break;
    case 1:
      moved_->given += deliverable(input);
      break;
    case 2:
      if (session_.pipe().end_due()) moved_->end_given = true;
      break;
    default:
      break;
  }
}

}  // namespace backedpipe::fuzz
