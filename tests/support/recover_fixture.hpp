// Shared by the tests of recover(): a process whose one session is in the middle of something, what
// the system counts of its application, and the session of the next process.
#pragma once

#include <array>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "session/recover.hpp"
#include "tests/support/ledger_fixture.hpp"
#include "tests/support/session_fixture.hpp"

namespace backedpipe::test {

class Process {
 public:
  explicit Process(Role role) : role_(role) {
    Session::Identity identity{.id = kId, .role = role, .service = "ssh"};
    LedgerEntry entry(memory.ledger, {.id = kId,
                                      .role = static_cast<std::uint32_t>(role),
                                      .labels = 3,
                                      .created_at = 4,
                                      .detached_since = 5});
    session_.emplace(std::move(identity), PipePools{*inbound_, memory.pool}, small_options(), 1,
                     kStart, std::move(entry));
  }
  ~Process() { memory.ledger.freeze(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  Session& operator*() { return *session_; }
  Session* operator->() { return &*session_; }
  LedgerRecord& record() { return memory.records[0]; }

  void connect_application(bool uncounted = false) {
    session_->ledger().connected(
        {.socket = 77, .taken_baseline = 8, .given_baseline = 9, .uncounted = uncounted});
    moved.emplace();
  }
  void attach(std::uint64_t generation, const Position& peer = peer_at(0)) {
    if (role_ == Role::server) {
      ASSERT_TRUE(session_
                      ->attach({.session = kId,
                                .generation = generation,
                                .position = peer,
                                .open = generation == 1,
                                .service = "ssh"},
                               generation == 1, kStart)
                      .has_value());
      return;
    }
    if (generation == 1) session_->start(kStart);
    ASSERT_TRUE(session_->begin_handshake(generation, kStart, nullptr));
    ASSERT_TRUE(session_->welcomed(
        {.session = kId, .generation = generation, .position = peer, .created = generation == 1},
        kStart));
  }

  // The system has read so many bytes into memory of the session, which has yet to hear of it.
  void read(std::size_t bytes) {
    std::array<MutableBytes, 8> pieces;
    const std::size_t count = session_->prepare(bytes, pieces);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string text = stream_text(moved->taken, pieces[i].size());
      std::memcpy(pieces[i].data(), text.data(), text.size());
      moved->taken += text.size();
    }
  }
  void write(std::size_t bytes) {
    const std::uint64_t before = moved->taken;
    read(bytes);
    session_->commit(static_cast<std::size_t>(moved->taken - before));
  }
  std::string say() {
    std::array<ConstBytes, 64> pieces;
    std::string all;
    while (const std::size_t count = session_->outgoing(kStart, pieces)) {
      const std::string text = text_of(std::span(pieces).first(count));
      session_->sent(session_->pipe().generation(), text.size());
      all += text;
    }
    return all;
  }
  void hear(const std::string& frames) {
    session_->receive(session_->pipe().generation(), bytes_of(frames), kStart);
  }
  void deliver(std::size_t bytes) {
    moved->given += bytes;
    session_->delivered(bytes, kStart);
  }
  void deliver_end() {
    moved->end_given = true;
    session_->end_delivered(kStart);
  }

  // Written 75, sent 60, acknowledged 20; received 40, delivered 10.
  void transfer() {
    connect_application();
    attach(1);
    write(60);
    say();
    hear(data_frame(0, stream_text(9, 40), 20));
    deliver(10);
    write(15);
  }
  // Both streams have ended, and the peer has everything.
  void finish() {
    session_->finish();
    say();
    hear(frame_text(FrameType::fin, session_->pipe().writer().end(),
                    session_->pipe().reader().received_sequence()));
    deliver(session_->pipe().reader().ring().size());
    deliver_end();
  }

  LedgerView view() const {
    return {.records = memory.records,
            .links = memory.links,
            .arena = memory.arena,
            .segment_bytes = memory.pool.segment_bytes()};
  }

  LedgerMemory memory;
  std::optional<TcpMoved> moved;

 private:
  Role role_;
  ArenaPool inbound_;
  std::optional<Session> session_;
};

// The next one.
class Successor {
 public:
  Result<void> restore(const Recovered& recovered) {
    SessionRecord record = recovered.session;
    record.service = "ssh";
    return session_.restore(record, recovered.held.bytes());
  }
  Session* operator->() { return &session_; }

 private:
  ArenaPool pool_;
  Session session_{{}, *pool_, small_options(), 2, kStart};
};

class RecoverFixture : public testing::TestWithParam<Role> {
 protected:
  std::variant<Recovered, Unrecoverable> found() {
    return recover(process_.view(), process_.record(), process_.moved);
  }
  // What was recovered; the test ends without it.
  Recovered recovered() {
    auto result = found();
    const auto* lost = std::get_if<Unrecoverable>(&result);
    EXPECT_EQ(lost, nullptr) << lost->why;
    return lost == nullptr ? std::get<Recovered>(std::move(result)) : Recovered();
  }
  // Why nothing was; empty if something was.
  std::string_view why() {
    const auto result = found();
    const auto* lost = std::get_if<Unrecoverable>(&result);
    return lost != nullptr ? lost->why : std::string_view();
  }
  // The same with a record that was right before this change.
  std::string_view why_after(const std::function<void(LedgerRecord&)>& change) {
    const LedgerRecord right = process_.record();
    change(process_.record());
    const std::string_view result = why();
    process_.record() = right;
    return result;
  }

  LedgerRecord& record() { return process_.record(); }

  Process process_{GetParam()};
};

// "ofAClient" or "ofAServer".
inline std::string of_role(const testing::TestParamInfo<Role>& role) {
  return role.param == Role::client ? "ofAClient" : "ofAServer";
}

}  // namespace backedpipe::test
