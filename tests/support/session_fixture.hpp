// A session under test, its memory, and an application and links that do what the test says.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "session/session.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {

inline const SessionId kId = *parse_session_id("9f3c1d7ae2b84056b1c7e4d20a6f8853");
inline constexpr TimePoint kStart = at(seconds(0));

inline SessionOptions small_options() {
  SessionOptions options;
  options.pipe = kSmallPipe;
  return options;
}

// A session, its memory, and an application that writes and reads when the test says so.
class Subject {
 public:
  explicit Subject(Role role)
      : session_(
            std::make_unique<Session>(Session::Identity{.id = kId, .role = role, .service = "ssh"},
                                      *pool_, small_options(), 1, kStart)) {}

  Session& operator*() { return *session_; }
  Session* operator->() { return session_.get(); }
  std::size_t segments_in_use() { return pool_->segments_in_use(); }

  // What is to be done, in words: "connect 1; close 1; reset application: expired; ended: expired".
  std::string actions() {
    std::string words;
    while (const auto action = session_->next_action()) {
      if (!words.empty()) words += "; ";
      switch (action->kind) {
        case Session::Action::Kind::connect:
          words += "connect " + std::to_string(action->generation);
          break;
        case Session::Action::Kind::close_link:
        case Session::Action::Kind::stop_attempt:
          words += "close " + std::to_string(action->generation);
          break;
        case Session::Action::Kind::reset_application:
          words += "reset application: " + std::string(name(action->reason));
          break;
        case Session::Action::Kind::ended:
          words += "ended: " + std::string(name(action->reason));
          break;
      }
    }
    return words;
  }

  void write(std::string_view text) { ASSERT_EQ(session_->write(bytes_of(text)), text.size()); }
  void finish() { session_->finish(); }

  // The application reads what there is, the end of the stream included, as "$".
  std::string read(TimePoint now = kStart) {
    std::string text = deliverable_text(session_->pipe());
    if (!text.empty()) session_->delivered(text.size(), now);
    if (session_->pipe().end_due()) {
      session_->end_delivered(now);
      text += "$";
    }
    return text;
  }

  // The application takes `count` bytes.
  std::string take(std::size_t count, TimePoint now) {
    const std::string text = deliverable_text(session_->pipe()).substr(0, count);
    session_->delivered(text.size(), now);
    return text;
  }

  std::string offers(TimePoint now) {
    std::array<ConstBytes, 64> pieces;
    return text_of(std::span(pieces).first(session_->outgoing(now, pieces)));
  }

  // Everything the session has for its link goes out.
  std::string say(TimePoint now = kStart) {
    std::string all;
    for (std::string text; !(text = offers(now)).empty();) {
      session_->sent(session_->pipe().generation(), text.size());
      all += text;
    }
    return all;
  }
  std::vector<SeenFrame> say_frames(TimePoint now = kStart) { return frames_in(say(now)); }

  void hear(std::string_view link_text, TimePoint now = kStart) {
    session_->receive(session_->pipe().generation(), bytes_of(link_text), now);
  }

  // The current link is lost.
  void lose_link(TimePoint now = kStart) {
    session_->link_lost(link_error(session_->pipe().generation()), now);
  }

  // The process is replaced: the session goes on, from its snapshot, in new memory.
  void move_to_new_process(TimePoint now = kStart) {
    const std::vector<std::byte> state = session_->snapshot();
    auto pool = std::make_unique<ArenaPool>();
    auto session = std::make_unique<Session>(Session::Identity{}, **pool, small_options(), 2, now);
    ASSERT_TRUE(session->restore(state).has_value());
    EXPECT_EQ(session->snapshot(), state);
    session_ = std::move(session);
    new_pool_ = std::move(pool);
  }

 private:
  ArenaPool pool_;
  std::unique_ptr<ArenaPool> new_pool_;
  std::unique_ptr<Session> session_;
};

inline bool contains_reset(const std::vector<SeenFrame>& frames, Reason reason) {
  const auto resets = only(FrameType::reset, frames);
  return resets.size() == 1 && resets[0].value == static_cast<std::uint64_t>(reason);
}

inline std::string reset_frame(Reason reason, std::uint64_t acknowledgement = 0) {
  return frame_text(FrameType::reset, acknowledgement, static_cast<std::uint64_t>(reason));
}

// --- a client, whose server is the test

class ClientSession : public testing::Test {
 protected:
  // Dials and is welcomed by a server at this position, which takes so long to answer that this
  // says nothing of the round trip.
  void attach(const Position& server = peer_at(0), TimePoint now = kStart,
              Duration answered_after = milliseconds(100)) {
    if (client_->pipe().generation() == 0) client_->start(now);
    client_.actions();
    const std::uint64_t generation = client_->pipe().generation();
    ASSERT_TRUE(client_->begin_handshake(generation, now - answered_after, nullptr));
    welcome(generation, server, now);
  }

  void welcome(std::uint64_t generation, const Position& server = peer_at(0),
               TimePoint now = kStart) {
    client_->welcomed({.session = kId,
                       .generation = generation,
                       .position = server,
                       .created = false,
                       .accepts = {.reuse = server_reuses_links_, .parting = true}},
                      now);
  }

  // A link that has proved useful.
  void attach_usefully() {
    attach(peer_at(0), kStart - seconds(1));
    client_.hear(frame_text(FrameType::ack, 0));
  }

  // When its next attempt is due, it begins.
  TimePoint await_attempt() {
    const auto next = client_->next_attempt();
    EXPECT_TRUE(next);
    client_->tick(next.value_or(kStart), nullptr);
    return next.value_or(kStart);
  }

  Subject client_{Role::client};
  bool server_reuses_links_ = true;
};

}  // namespace backedpipe::test
