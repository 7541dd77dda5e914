#include <gtest/gtest.h>

#include "session/handshake.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

const SessionId kId{{1, 2, 3}};
const Hello kHello{
    .session = kId, .generation = 7, .position = {3, 5, 900}, .open = true, .service = "ssh"};
const Welcome kWelcome{.session = kId, .generation = 7, .position = {1, 2, 800}, .created = true};

// Feeds `bytes` in pieces of `piece` bytes; what is left behind the message.
template <typename Machine>
Result<std::size_t> feed(Machine& machine, ConstBytes bytes, std::size_t piece) {
  while (!bytes.empty() && !machine.complete()) {
    ConstBytes input = bytes.first(std::min(piece, bytes.size()));
    const std::size_t given = input.size();
    if (const auto received = machine.receive(input); !received) return received.error();
    bytes = bytes.subspan(given - input.size());
    if (!input.empty()) break;
  }
  return bytes.size();
}

TEST(ClientHandshake, SaysHelloAndHearsTheAnswerInAnyPieces) {
  std::vector<std::byte> answer = encode(kWelcome);
  answer.resize(answer.size() + 5);
  for (std::size_t piece = 1; piece <= answer.size(); ++piece) {
    ClientHandshake handshake(kHello);
    const auto hello = encode(kHello);
    ASSERT_TRUE(std::ranges::equal(handshake.outgoing(), hello));
    handshake.sent(10);
    EXPECT_EQ(handshake.outgoing().size(), hello.size() - 10);
    const auto left = feed(handshake, answer, piece);
    ASSERT_TRUE(left.has_value());
    EXPECT_EQ(*left, 5U) << "frames behind the WELCOME are not the handshake's";
    ASSERT_NE(handshake.welcome(), nullptr);
    EXPECT_EQ(*handshake.welcome(), kWelcome);
    EXPECT_EQ(handshake.refused(), nullptr);
  }
}

TEST(ClientHandshake, HearsARefusal) {
  ClientHandshake handshake(kHello);
  const Refused refused{.reason = Reason::unknown_service, .text = "no"};
  ASSERT_TRUE(feed(handshake, encode(refused), 3).has_value());
  ASSERT_NE(handshake.refused(), nullptr);
  EXPECT_EQ(*handshake.refused(), refused);
  EXPECT_EQ(handshake.welcome(), nullptr);
}

TEST(ClientHandshake, TakesNoAnswerToAnotherHello) {
  Welcome other = kWelcome;
  other.generation = 6;
  ClientHandshake old_generation(kHello);
  EXPECT_TRUE(fails_with(feed(old_generation, encode(other), 99), Reason::protocol_error));
  other = kWelcome;
  other.session.bytes[0] = 9;
  ClientHandshake other_session(kHello);
  EXPECT_TRUE(fails_with(feed(other_session, encode(other), 99), Reason::protocol_error));
  ClientHandshake hello(kHello);
  EXPECT_TRUE(fails_with(feed(hello, encode(kHello), 99), Reason::protocol_error));
}

TEST(ServerHandshake, HearsTheHelloInAnyPiecesAndAnswers) {
  const std::vector<std::byte> hello = encode(kHello);
  for (std::size_t piece = 1; piece <= hello.size(); ++piece) {
    ServerHandshake handshake;
    const auto left = feed(handshake, hello, piece);
    ASSERT_TRUE(left.has_value());
    ASSERT_TRUE(handshake.complete());
    EXPECT_EQ(handshake.hello(), kHello);
    handshake.answer(kWelcome);
    EXPECT_TRUE(std::ranges::equal(handshake.outgoing(), encode(kWelcome)));
    handshake.sent(handshake.outgoing().size());
    EXPECT_TRUE(handshake.outgoing().empty());
  }
}

TEST(ServerHandshake, TakesNothingButAHello) {
  ServerHandshake welcome;
  EXPECT_TRUE(fails_with(feed(welcome, encode(kWelcome), 99), Reason::protocol_error));
  ServerHandshake garbage;
  EXPECT_TRUE(
      fails_with(feed(garbage, bytes_of("GET / HTTP/1.1\r\n"), 99), Reason::protocol_error));
}

}  // namespace
}  // namespace backedpipe::test
