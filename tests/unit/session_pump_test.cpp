// The pump between an application and a link that are lists: what it reads and writes, in which
// order, what it waits for, and which actions it asks for.
#include "session/pump/session_pump.hpp"

#include <deque>

#include "tests/support/session_fixture.hpp"

namespace backedpipe::test {
namespace {

using Action = SessionPump::Action;
using Direction = SessionPump::Direction;
using Fate = SessionPump::LinkFate;
using Status = IoResult::Status;

boost::system::error_code reset_by_peer() {
  return make_error_code(boost::system::errc::connection_reset);
}

// One side of a socket: reads take from a list, writes are kept.
struct FakeSocket {
  std::deque<std::string> incoming;   // one element per read
  std::optional<IoResult> then = {};  // after the last element; nothing: a read would block
  std::string written;
  std::vector<std::size_t> writes;  // bytes, by each write
  std::size_t takes = SIZE_MAX;     // in all; then a write would block
  std::vector<std::string>* calls = nullptr;
  std::string name;
  std::size_t read_calls = 0;
  std::vector<std::size_t> asked;  // bytes, by each read

  IoResult read(std::span<const MutableBytes> pieces) {
    ++read_calls;
    asked.push_back(total_bytes(pieces));
    if (calls != nullptr) calls->push_back("read " + name);
    if (incoming.empty()) {
      return then.value_or(IoResult{.status = Status::want_read, .drained = true});
    }
    std::string& next = incoming.front();
    std::size_t moved = 0;
    for (const MutableBytes piece : pieces) {
      const std::size_t count = std::min(piece.size(), next.size() - moved);
      std::copy_n(std::as_bytes(std::span(next)).begin() + static_cast<std::ptrdiff_t>(moved),
                  count, piece.begin());
      moved += count;
    }
    next.erase(0, moved);
    const bool drained = next.empty() && incoming.size() == 1 && !then;
    if (next.empty()) incoming.pop_front();
    return {.status = Status::ok, .bytes = moved, .drained = drained};
  }

  IoResult write(std::span<const ConstBytes> pieces) {
    if (calls != nullptr) calls->push_back("write " + name);
    const std::size_t before = written.size();
    for (const ConstBytes piece : pieces) {
      const std::size_t count = std::min(piece.size(), takes - written.size());
      written += text_of(piece.first(count));
    }
    const std::size_t moved = written.size() - before;
    writes.push_back(moved);
    const bool drained = moved < total_bytes(pieces);
    if (moved == 0) return {.status = Status::want_write, .drained = true};
    return {.status = Status::ok, .bytes = moved, .drained = drained};
  }
};

struct FakeApplication final : ApplicationEnd {
  IoResult read(std::span<const MutableBytes> pieces) override { return socket.read(pieces); }
  IoResult write(std::span<const ConstBytes> pieces) override { return socket.write(pieces); }
  boost::system::error_code take_error() override { return std::exchange(error, {}); }
  std::optional<Unanswered> unanswered() override { return owes; }
  void finish() override { ends += "finish "; }
  void close() override { ends += "close "; }
  void reset() override { ends += "reset "; }

  FakeSocket socket;
  boost::system::error_code error;
  std::optional<Unanswered> owes = {};
  std::string ends;
};

struct FakeLink final : LinkEnd {
  IoResult read(std::span<const MutableBytes> pieces) override { return socket.read(pieces); }
  IoResult write(std::span<const ConstBytes> pieces) override { return socket.write(pieces); }
  bool drained() const override { return socket.incoming.empty(); }
  std::optional<TcpAnswer> tcp_answer(TimePoint) override { return std::nullopt; }

  FakeSocket socket;
};

class Pump : public testing::Test {
 protected:
  explicit Pump(Role role = Role::client, std::size_t segment_count = 64,
                const SessionOptions& options = small_options())
      : pool_(segment_count),
        scratch_(SessionPump::kLeastScratchBytes),
        memory_{*pool_, scratch_},
        pump_(Session::Identity{.id = kId, .role = role, .service = "ssh"}, memory_, options, 1,
              kStart) {
    application_.socket.calls = link_.socket.calls = &calls_;
    application_.socket.name = "application";
    link_.socket.name = "link";
  }

  void connect(SessionPump::FirstWord first_word = SessionPump::FirstWord::expected) {
    ASSERT_TRUE(pump_.connect_application(application_, first_word));
  }

  // A client that the server has welcomed on `link`.
  void welcome(FakeLink& link, std::uint64_t generation = 1, std::string_view early = {},
               TimePoint now = kStart) {
    if (generation == 1) pump_.session().start(now);
    pump_.pump(now);
    actions();
    ASSERT_TRUE(pump_.begin_handshake(generation, now));
    ASSERT_TRUE(pump_.welcomed(link,
                               {.session = kId,
                                .generation = generation,
                                .position = peer_at(0),
                                .created = true,
                                .accepts = {.reuse = true, .parting = true}},
                               bytes_of(early), now));
  }

  // The pump's actions, in words.
  std::string actions() {
    std::string words;
    while (const auto action = pump_.next_action()) {
      if (!words.empty()) words += "; ";
      switch (action->kind) {
        case Action::Kind::connect:
          words += "connect " + std::to_string(action->generation);
          break;
        case Action::Kind::stop_attempt:
          words += "stop " + std::to_string(action->generation);
          break;
        case Action::Kind::close_link:
          words += "close " + std::to_string(action->generation);
          words += action->fate == Fate::abrupt     ? " abruptly"
                   : action->fate == Fate::graceful ? " gracefully"
                                                    : " for reuse";
          break;
        case Action::Kind::application_failed:
          words += "application failed";
          break;
        case Action::Kind::application_reset:
          words += "application reset: " + std::string(name(action->reason));
          break;
        case Action::Kind::ended:
          words += "ended: " + std::string(name(action->reason));
          break;
      }
    }
    return words;
  }

  std::vector<SeenFrame> sent_frames(FakeLink& link) { return frames_in(link.socket.written); }

  ArenaPool pool_;
  std::vector<std::byte> scratch_;
  SessionPump::Memory memory_;
  SessionPump pump_;
  FakeApplication application_;
  FakeLink link_;
  std::vector<std::string> calls_;
};

TEST_F(Pump, ReadsTheLinkBeforeItJudgesIt) {
  welcome(link_);
  pump_.session().ask(kStart);
  pump_.pump(kStart);
  // The process was stopped for longer than a link may be silent, and the answer was waiting.
  const auto pings = only(FrameType::ping, sent_frames(link_));
  ASSERT_EQ(pings.size(), 1U);
  link_.socket.incoming = {frame_text(FrameType::pong, 0, pings[0].value)};
  pump_.link_ready(1, Direction::read);
  pump_.pump(at(seconds(60)));
  EXPECT_EQ(actions(), "");
  EXPECT_EQ(pump_.session().pipe().state(), PipeState::connected);
}

TEST_F(Pump, WorksInOneOrder) {
  connect();
  link_.socket.incoming = {data_frame(0, "xyz")};
  welcome(link_);
  application_.socket.incoming = {"abc"};
  pump_.application_ready(Direction::read);
  calls_.clear();
  pump_.pump(kStart);
  ASSERT_GE(calls_.size(), 4U);
  EXPECT_EQ(calls_[0], "read link") << "before the link is judged";
  EXPECT_EQ(calls_[1], "read application");
  EXPECT_EQ(calls_[2], "write link") << "what was just read is on its way at once";
  EXPECT_EQ(application_.socket.written, "xyz");
  EXPECT_EQ(payload_of(sent_frames(link_)), "abc");
}

TEST_F(Pump, WaitsForWhatCannotGoOn) {
  connect();
  welcome(link_);
  const auto wanted = pump_.pump(kStart);
  EXPECT_TRUE(wanted.application_read);
  EXPECT_TRUE(wanted.application_error);
  EXPECT_FALSE(wanted.application_write) << "nothing is for it";
  EXPECT_TRUE(wanted.link_read);
  EXPECT_FALSE(wanted.link_write) << "it takes what there is";
  EXPECT_FALSE(wanted.memory);
  EXPECT_FALSE(wanted.again);
  EXPECT_EQ(wanted.until, pump_.session().deadline(kStart));
}

TEST_F(Pump, WaitsForAnEndThatTakesNothingMore) {
  connect();
  application_.socket.takes = 2;
  link_.socket.takes = 10;
  link_.socket.incoming = {data_frame(0, "xyz")};
  welcome(link_);
  const auto wanted = pump_.pump(kStart);
  EXPECT_EQ(application_.socket.written, "xy");
  EXPECT_TRUE(wanted.application_write);
  EXPECT_TRUE(wanted.link_write);
  application_.socket.takes = link_.socket.takes = SIZE_MAX;
  const std::size_t before = calls_.size();
  pump_.pump(kStart);
  EXPECT_EQ(calls_.size(), before) << "nothing is tried before it is ready";
  pump_.application_ready(Direction::write);
  pump_.link_ready(1, Direction::write);
  pump_.pump(kStart);
  EXPECT_EQ(application_.socket.written, "xyz");
  EXPECT_GT(link_.socket.written.size(), 10U);
}

TEST_F(Pump, ALinkThatBringsNoNewsIsReadAgainAfterAPause) {
  connect();
  std::string flood;
  for (int i = 0; i < 2 * FrameBudget::kFramesPerSecond; ++i)
    flood += frame_text(FrameType::ping, 0, 1);
  link_.socket.incoming = {flood, flood, "never read"};
  welcome(link_);
  TimePoint now = kStart;
  SessionPump::Interests wanted;
  do {
    wanted = pump_.pump(now);
  } while (wanted.again);
  EXPECT_FALSE(link_.socket.incoming.empty());
  EXPECT_FALSE(wanted.link_read);
  ASSERT_TRUE(wanted.until);
  EXPECT_GT(*wanted.until, now);
  EXPECT_LE(*wanted.until, now + FrameBudget::kMostDebt);

  // Whatever else happens meanwhile.
  const std::size_t reads = link_.socket.read_calls;
  pump_.link_ready(1, Direction::read);
  application_.socket.incoming = {"abc"};
  pump_.application_ready(Direction::read);
  pump_.pump(now);
  EXPECT_EQ(link_.socket.read_calls, reads);
  EXPECT_EQ(payload_of(sent_frames(link_)), "abc") << "what goes out is not held up";

  now = *wanted.until;
  pump_.pump(now);
  EXPECT_GT(link_.socket.read_calls, reads);
  EXPECT_LE(link_.socket.asked.back(), std::size_t{16} << 10) << "in small pieces";
}

TEST_F(Pump, ATargetIsNotReadBeforeItIsReady) {
  connect(SessionPump::FirstWord::unlikely);
  application_.socket.incoming = {"hello"};
  EXPECT_TRUE(pump_.pump(kStart).application_read);
  EXPECT_EQ(application_.socket.read_calls, 0U);
  pump_.application_ready(Direction::read);
  pump_.pump(kStart);
  EXPECT_EQ(pump_.bytes_out(), 5U);
}

TEST_F(Pump, ALateWordOfAnOlderLinkDoesNotTouchTheNewer) {
  welcome(link_);
  pump_.pump(kStart);
  link_.socket.incoming = {data_frame(0, "x")};
  link_.socket.then = IoResult{.status = Status::failed, .error = reset_by_peer()};
  pump_.link_ready(1, Direction::read);
  pump_.pump(at(seconds(2)));
  EXPECT_EQ(actions(), "close 1 abruptly; connect 2");
  FakeLink second;
  welcome(second, 2, {}, at(seconds(2)));
  pump_.pump(at(seconds(2)));
  const std::size_t reads = second.socket.read_calls;
  pump_.link_ready(1, Direction::read);
  pump_.pump(at(seconds(2)));
  EXPECT_EQ(second.socket.read_calls, reads);
  pump_.link_ready(2, Direction::read);
  pump_.pump(at(seconds(2)));
  EXPECT_GT(second.socket.read_calls, reads);
}

TEST_F(Pump, ALinkThatEndsIsTriedAnew) {
  welcome(link_);
  link_.socket.incoming = {data_frame(0, "x")};
  link_.socket.then = IoResult{.status = Status::closed, .drained = true};
  pump_.link_ready(1, Direction::read);
  pump_.pump(kStart);
  EXPECT_EQ(actions(), "close 1 abruptly; connect 2");
  EXPECT_FALSE(pump_.session().pipe().last_error()->error) << "it has ended, without an error";
}

TEST_F(Pump, AnActionIsDoneBeforeTheStateChangesAgain) {
  welcome(link_);
  pump_.pump(kStart);
  pump_.distrust(at(seconds(2)));
  link_.socket.incoming = {data_frame(0, "a"), data_frame(1, "b")};
  link_.socket.then = IoResult{.status = Status::failed, .error = reset_by_peer()};
  pump_.link_ready(1, Direction::read);
  const auto wanted = pump_.pump(at(seconds(2)));
  EXPECT_TRUE(pump_.session().suspect()) << "the link is there when another is dialled beside it";
  EXPECT_EQ(actions(), "connect 2");
  EXPECT_TRUE(wanted.again);
  pump_.pump(at(seconds(2)));
  EXPECT_EQ(actions(), "close 1 abruptly") << "the candidate goes on";
}

TEST_F(Pump, EveryActionComesOnce) {
  pump_.session().start(kStart);
  pump_.pump(kStart);
  EXPECT_EQ(actions(), "connect 1");
  pump_.pump(kStart);
  EXPECT_EQ(actions(), "");
}

TEST_F(Pump, WhatCameWithTheWelcomeIsReadFirst) {
  connect();
  const std::string frame = data_frame(0, "abcdef");
  link_.socket.incoming = {frame.substr(20)};
  welcome(link_, 1, frame.substr(0, 20));
  pump_.pump(kStart);
  EXPECT_EQ(application_.socket.written, "abcdef");
}

TEST_F(Pump, ReadsInLargerPiecesAsLongAsTheyAreFilled) {
  connect();
  application_.socket.incoming = {stream_text(0, 100), stream_text(100, 3)};
  const auto wanted = pump_.pump(kStart);
  EXPECT_EQ(pump_.bytes_out(), pump_.session().pipe().writer().end());
  EXPECT_FALSE(wanted.link_read) << "there is none";
}

TEST_F(Pump, TheEndOfTheApplicationsStreamIsPassedOnAfterItsBytes) {
  connect();
  application_.socket.incoming = {"bye"};
  application_.socket.then = IoResult{.status = Status::closed, .drained = true};
  welcome(link_);
  pump_.pump(kStart);
  const auto frames = sent_frames(link_);
  EXPECT_EQ(payload_of(frames), "bye");
  EXPECT_EQ(only(FrameType::fin, frames).size(), 1U);
  EXPECT_FALSE(pump_.pump(kStart).application_read) << "nothing more will come";
}

TEST_F(Pump, HalfClosesTheApplicationAfterTheLastByte) {
  connect();
  link_.socket.incoming = {data_frame(0, "bye") + frame_text(FrameType::fin, 0, 3)};
  welcome(link_);
  pump_.pump(kStart);
  EXPECT_EQ(application_.socket.written, "bye");
  EXPECT_EQ(application_.ends, "finish ");
}

TEST_F(Pump, AnApplicationWhoseConnectionBreaksIsResetAndItsPeerTold) {
  connect();
  welcome(link_);
  application_.socket.then = IoResult{.status = Status::failed, .error = reset_by_peer()};
  pump_.application_ready(Direction::read);
  pump_.pump(kStart);
  EXPECT_EQ(application_.ends, "reset ");
  EXPECT_EQ(actions(), "application failed");
  EXPECT_TRUE(contains_reset(sent_frames(link_), Reason::application_reset));
}

TEST_F(Pump, ReadsWhatAnApplicationHasWrittenBeforeItHearsOfItsReset) {
  connect();
  welcome(link_);
  pump_.pump(kStart);
  application_.socket.incoming = {"last words"};
  application_.socket.then = IoResult{.status = Status::failed, .error = reset_by_peer()};
  application_.error = reset_by_peer();
  pump_.application_broken();
  pump_.pump(kStart);
  EXPECT_EQ(payload_of(sent_frames(link_)), "last words");
  EXPECT_EQ(actions(), "application failed");
}

TEST_F(Pump, WithoutRoomTheResetIsHeardAtOnce) {
  connect();
  application_.socket.incoming = {stream_text(0, 100'000)};
  pump_.pump(kStart);
  const BackedWriter& writer = pump_.session().pipe().writer();
  ASSERT_EQ(writer.ring().size(), writer.ring().capacity());
  const std::size_t reads = application_.socket.read_calls;
  application_.error = reset_by_peer();
  pump_.application_broken();
  EXPECT_EQ(application_.socket.read_calls, reads);
  EXPECT_EQ(application_.ends, "reset ");
}

TEST_F(Pump, DoesNotWaitAgainForWhatStaysBroken) {
  connect();
  application_.socket.then = IoResult{.status = Status::closed};
  link_.socket.incoming = {frame_text(FrameType::fin, 0, 0)};
  welcome(link_);
  EXPECT_TRUE(pump_.pump(kStart).application_error);
  ASSERT_EQ(application_.ends, "finish ");
  // Both directions have ended: a poll reports that for as long as the connection exists.
  pump_.application_broken();
  EXPECT_FALSE(pump_.pump(kStart).application_error);
  EXPECT_TRUE(pump_.application_open()) << "the server has not acknowledged the end";
}

TEST_F(Pump, HearsOfAResetOnceThereIsNoRoomForMoreOfTheLastWords) {
  connect();
  welcome(link_);
  pump_.pump(kStart);
  application_.socket.incoming = {stream_text(0, 100'000), "more"};
  application_.error = reset_by_peer();
  link_.socket.takes = 0;
  pump_.application_broken();
  EXPECT_EQ(application_.ends, "") << "there was room";
  pump_.pump(kStart);
  pump_.pump(kStart);
  EXPECT_EQ(application_.ends, "reset ");
}

TEST_F(Pump, GivesTheApplicationWhatItTakesBeforeItIsReset) {
  connect();
  application_.socket.takes = 0;
  link_.socket.incoming = {data_frame(0, "before")};
  welcome(link_);
  pump_.pump(kStart);
  application_.socket.takes = 4;
  link_.socket.incoming = {reset_frame(Reason::closed_by_operator)};
  pump_.link_ready(1, Direction::read);
  pump_.pump(kStart);
  EXPECT_EQ(application_.socket.written, "befo");
  EXPECT_EQ(pump_.bytes_in(), 4U);
  EXPECT_EQ(application_.ends, "reset ");
  EXPECT_EQ(actions(),
            "application reset: closed_by_operator; close 1 abruptly; ended: closed_by_operator");
  EXPECT_TRUE(pump_.over());
}

TEST_F(Pump, AnApplicationThatComesTooLateIsTheCallers) {
  pump_.session().start(kStart);
  pump_.session().reset(Reason::closed_by_operator);
  pump_.pump(kStart);
  EXPECT_FALSE(pump_.connect_application(application_, SessionPump::FirstWord::expected));
  EXPECT_EQ(application_.ends, "");
}

TEST_F(Pump, AWelcomeForAnAttemptThatWasGivenUpLeavesTheLink) {
  pump_.session().start(kStart);
  pump_.pump(kStart);
  ASSERT_TRUE(pump_.begin_handshake(1, kStart));
  pump_.session().attempt_failed(1, false, kStart);
  EXPECT_FALSE(
      pump_.welcomed(link_, {.session = kId, .generation = 1, .position = peer_at(0)}, {}, kStart));
  pump_.pump(kStart);
  EXPECT_TRUE(calls_.empty());
}

TEST_F(Pump, AbandonedItResetsTheApplicationAndDoesNothingMore) {
  connect();
  welcome(link_);
  pump_.abandon();
  EXPECT_EQ(application_.ends, "reset ");
  EXPECT_EQ(actions(), "");
  calls_.clear();
  EXPECT_FALSE(pump_.pump(kStart).until);
  EXPECT_TRUE(calls_.empty());
  EXPECT_EQ(pool_->segments_in_use(), 0U);
}

TEST_F(Pump, ReadsNothingFromAnApplicationThatHadFinishedBeforeARestart) {
  connect();
  application_.socket.then = IoResult{.status = Status::closed, .drained = true};
  pump_.pump(kStart);
  const auto state = pump_.session().snapshot();
  SessionPump restored(Session::Identity{}, memory_, small_options(), 1, kStart);
  ASSERT_TRUE(restored.session().restore(state).has_value());
  FakeApplication same;
  ASSERT_TRUE(restored.connect_application(same, SessionPump::FirstWord::expected));
  const auto wanted = restored.pump(kStart);
  EXPECT_EQ(same.socket.read_calls, 0U);
  EXPECT_FALSE(wanted.application_read);
  EXPECT_FALSE(wanted.memory);
}

// --- with an application whose system may be gone

// Its application's system may answer nothing for a minute.
class WatchfulPump : public Pump {
 protected:
  WatchfulPump() : Pump(Role::client, 64, options()) {}

  static SessionOptions options() {
    SessionOptions options = small_options();
    options.application_keepalive = seconds(60);
    return options;
  }
};

TEST_F(WatchfulPump, AnApplicationThatAcknowledgesNothingIsGone) {
  connect();
  link_.socket.incoming = {data_frame(0, "xyz")};
  welcome(link_);
  const auto wanted = pump_.pump(kStart);
  ASSERT_TRUE(wanted.until);
  EXPECT_LE(*wanted.until, at(seconds(60)));
  application_.owes = Unanswered{.attempts = 8, .silence = seconds(60)};
  link_.socket.incoming = {frame_text(FrameType::ping, 0, 1)};
  pump_.link_ready(1, Direction::read);
  pump_.pump(at(seconds(59)));
  EXPECT_EQ(application_.ends, "");
  actions();
  link_.socket.incoming = {frame_text(FrameType::ping, 0, 2)};
  pump_.link_ready(1, Direction::read);
  pump_.pump(at(seconds(60)));
  EXPECT_EQ(application_.ends, "reset ");
  EXPECT_EQ(actions(), "application failed");
  EXPECT_EQ(only(FrameType::reset, sent_frames(link_)).size(), 1U);
}

TEST_F(WatchfulPump, IsAskedToLookAlsoWithoutALink) {
  connect();
  link_.socket.incoming = {data_frame(0, "xyz")};
  welcome(link_);
  pump_.pump(kStart);
  link_.socket.then = IoResult{.status = Status::closed, .drained = true};
  pump_.link_ready(1, Direction::read);
  pump_.pump(kStart);
  actions();
  application_.owes = Unanswered{.attempts = 8, .silence = seconds(60)};
  pump_.pump(at(seconds(60)));
  EXPECT_EQ(application_.ends, "reset ");
}

// --- with almost no memory

class StarvedPump : public Pump {
 protected:
  StarvedPump() : Pump(Role::client, 4) {}
};

TEST_F(StarvedPump, KeepsWhatTheLinkHasGivenAndWaitsForMemory) {
  BackedPipe another(*pool_, kSmallPipe);
  ASSERT_TRUE(another.connect());
  ASSERT_TRUE(another.attach(1, peer_at(0), kStart));
  ASSERT_TRUE(receive(another, data_frame(0, stream_text(0, 48))));
  ASSERT_EQ(pool_->segments_in_use(), 3U);
  connect(SessionPump::FirstWord::unlikely);
  const std::string bytes = stream_text(0, 40);
  link_.socket.incoming = {data_frame(0, bytes)};
  welcome(link_);
  application_.socket.takes = 0;
  const auto wanted = pump_.pump(kStart);
  EXPECT_TRUE(wanted.memory);
  EXPECT_FALSE(wanted.link_read) << "what was read goes first";
  const std::size_t reads = link_.socket.read_calls;
  pump_.link_ready(1, Direction::read);
  pump_.pump(kStart);
  EXPECT_EQ(link_.socket.read_calls, reads);
  another.close();
  application_.socket.takes = SIZE_MAX;
  pump_.application_ready(Direction::write);
  pump_.pump(kStart);
  EXPECT_EQ(application_.socket.written, bytes) << "nothing of it is lost";
  EXPECT_GT(link_.socket.read_calls, reads);
}

// --- an accepting side

class AcceptingPump : public Pump {
 protected:
  AcceptingPump() : Pump(Role::server) {}

  Result<void> attach(FakeLink& link, std::uint64_t generation, std::string_view early = {}) {
    return pump_.attach(link,
                        {.session = kId,
                         .generation = generation,
                         .position = peer_at(0),
                         .open = generation == 1,
                         .service = "ssh",
                         .offers = {.reuse = true, .parting = true}},
                        generation == 1, bytes_of(early), kStart);
  }

  // The WELCOME, and the bytes after it.
  std::pair<Welcome, std::string> split(const FakeLink& link) {
    const std::string& written = link.socket.written;
    HandshakeDecoder decoder;
    ConstBytes input = bytes_of(written);
    EXPECT_TRUE(decoder.feed(input) && decoder.complete());
    const auto* welcome = std::get_if<Welcome>(&decoder.message());
    EXPECT_NE(welcome, nullptr);
    return {*welcome, text_of(input)};
  }
};

TEST_F(AcceptingPump, AnswersBeforeAnyFrame) {
  ASSERT_TRUE(attach(link_, 1));
  connect();
  application_.socket.incoming = {"banner"};
  link_.socket.takes = 7;
  pump_.pump(kStart);
  EXPECT_EQ(link_.socket.written.size(), 7U);
  link_.socket.takes = SIZE_MAX;
  pump_.link_ready(1, Direction::write);
  pump_.pump(kStart);
  const auto [welcome, frames] = split(link_);
  EXPECT_EQ(welcome.generation, 1U);
  EXPECT_TRUE(welcome.created);
  EXPECT_EQ(payload_of(frames_in(frames)), "banner");
}

// The path may swallow large packets, and the WELCOME with them.
TEST_F(AcceptingPump, SendsNoLargePacketBeforeTheAnswerHasGoneOut) {
  ASSERT_TRUE(attach(link_, 1));
  connect();
  application_.socket.incoming = {std::string(200, 'x')};
  pump_.pump(kStart);
  ASSERT_GE(link_.socket.writes.size(), 2U);
  EXPECT_LE(link_.socket.writes[0], 256U);
  EXPECT_EQ(payload_of(frames_in(split(link_).second)), std::string(200, 'x'));
}

TEST_F(AcceptingPump, SendsTheAnswerAndSmallFramesTogether) {
  ASSERT_TRUE(attach(link_, 1));
  connect();
  application_.socket.incoming = {"banner"};
  pump_.pump(kStart);
  EXPECT_EQ(link_.socket.writes.size(), 1U);
}

TEST_F(AcceptingPump, ANewerLinkReplacesTheOlder) {
  ASSERT_TRUE(attach(link_, 1));
  pump_.pump(kStart);
  FakeLink second;
  ASSERT_TRUE(attach(second, 2));
  pump_.pump(kStart);
  EXPECT_EQ(actions(), "close 1 abruptly");
  EXPECT_EQ(split(second).first.generation, 2U);
}

TEST_F(AcceptingPump, AnOlderLinkIsRefusedAndLeavesTheNewerAlone) {
  ASSERT_TRUE(attach(link_, 2));
  pump_.pump(kStart);
  FakeLink older;
  EXPECT_TRUE(fails_with(attach(older, 1), Reason::stale_generation));
  pump_.pump(kStart);
  EXPECT_EQ(actions(), "");
  EXPECT_EQ(older.socket.written, "");
}

TEST_F(AcceptingPump, GivesItsLinkForReuseWhenAllIsDone) {
  ASSERT_TRUE(attach(link_, 1));
  connect();
  application_.socket.then = IoResult{.status = Status::closed, .drained = true};
  link_.socket.incoming = {frame_text(FrameType::fin, 0, 0)};
  pump_.link_ready(1, Direction::read);
  pump_.pump(kStart);
  EXPECT_EQ(application_.ends, "finish ");
  // The client has received our end of stream and asks nothing more; the HELLO of its next session
  // follows.
  link_.socket.incoming = {frame_text(FrameType::ack, 1), "the next HELLO"};
  pump_.link_ready(1, Direction::read);
  pump_.pump(kStart);
  EXPECT_EQ(actions(), "close 1 for reuse; ended: closed");
  EXPECT_EQ(application_.ends, "finish close ");
  EXPECT_EQ(link_.socket.incoming, std::deque<std::string>{"the next HELLO"})
      << "it is not this session's to read";
}

}  // namespace
}  // namespace backedpipe::test
