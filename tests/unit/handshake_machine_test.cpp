#include <gtest/gtest.h>

#include "session/handshake.hpp"
#include "tests/support/pipe_fixture.hpp"
#include "tests/support/vectors.hpp"

namespace backedpipe::test {
namespace {

const SessionId kSession = *parse_session_id("9f3c1d7ae2b84056b1c7e4d20a6f8853");

Hello opening_hello() {
  return {.session = kSession,
          .generation = 3,
          .position = {0, 0, 100},
          .open = true,
          .service = "ssh"};
}

Welcome matching_welcome() {
  return {.session = kSession, .generation = 3, .position = {1, 2, 300}, .created = true};
}

// Everything the machine has to say, taken in pieces.
template <typename Machine>
std::vector<std::byte> say(Machine& machine, std::size_t piece_bytes) {
  std::vector<std::byte> said;
  while (!machine.outgoing().empty()) {
    const ConstBytes piece =
        machine.outgoing().first(std::min(piece_bytes, machine.outgoing().size()));
    said.insert(said.end(), piece.begin(), piece.end());
    machine.sent(piece.size());
  }
  return said;
}

// Gives it the bytes in pieces; how many of them it left, or an error.
template <typename Machine>
Result<std::size_t> hear(Machine& machine, ConstBytes bytes, std::size_t piece_bytes) {
  while (!bytes.empty() && !machine.complete()) {
    const std::size_t size = std::min(piece_bytes, bytes.size());
    ConstBytes piece = bytes.first(size);
    if (const auto fed = machine.receive(piece); !fed) return fed.error();
    bytes = bytes.subspan(size - piece.size());
  }
  return bytes.size();
}

TEST(HandshakeMachines, AgreeWhateverTheFragments) {
  for (const std::size_t piece_bytes : {1U, 2U, 7U, 64U, 4096U}) {
    ClientHandshake client(opening_hello());
    ServerHandshake server;
    ASSERT_TRUE(hear(server, say(client, piece_bytes), piece_bytes).has_value());
    ASSERT_TRUE(server.complete());
    EXPECT_EQ(server.hello(), opening_hello());
    EXPECT_FALSE(client.complete());

    server.answer(matching_welcome());
    ASSERT_TRUE(hear(client, say(server, piece_bytes), piece_bytes).has_value());
    ASSERT_TRUE(client.complete());
    ASSERT_NE(client.welcome(), nullptr);
    EXPECT_EQ(*client.welcome(), matching_welcome());
    EXPECT_EQ(client.refused(), nullptr);
  }
}

TEST(HandshakeMachines, TellHowMuchOfTheHelloHasCome) {
  ClientHandshake client(opening_hello());
  ServerHandshake server;
  EXPECT_EQ(server.received_bytes(), 0U);
  ASSERT_TRUE(hear(server, client.outgoing().first(5), 5).has_value());
  EXPECT_EQ(server.received_bytes(), 5U);
}

TEST(HandshakeMachines, LeaveTheFramesBehindTheAnswer) {
  ClientHandshake client(opening_hello());
  std::vector<std::byte> bytes = encode(matching_welcome());
  const ConstBytes frames = bytes_of("frames");
  bytes.insert(bytes.end(), frames.begin(), frames.end());
  ConstBytes input = bytes;
  ASSERT_TRUE(client.receive(input).has_value());
  EXPECT_TRUE(client.complete());
  EXPECT_EQ(text_of(input), "frames");
}

TEST(HandshakeMachines, PassOnARefusal) {
  ClientHandshake client(opening_hello());
  ServerHandshake server;
  server.answer(Refused{.reason = Reason::overloaded, .text = "later"});
  ASSERT_TRUE(hear(client, say(server, 3), 3).has_value());
  ASSERT_TRUE(client.complete());
  EXPECT_EQ(client.welcome(), nullptr);
  ASSERT_NE(client.refused(), nullptr);
  EXPECT_EQ(client.refused()->reason, Reason::overloaded);
  EXPECT_EQ(client.refused()->text, "later");
}

TEST(ClientHandshake, RefusesAnAnswerToAnotherSession) {
  ClientHandshake client(opening_hello());
  Welcome other = matching_welcome();
  other.session.bytes[15] ^= 1;
  EXPECT_TRUE(fails_with(hear(client, encode(other), 4096), Reason::protocol_error));
}

TEST(ClientHandshake, RefusesAnAnswerToAnotherGeneration) {
  for (const std::uint64_t generation : {2U, 4U}) {
    ClientHandshake client(opening_hello());
    Welcome other = matching_welcome();
    other.generation = generation;
    EXPECT_TRUE(fails_with(hear(client, encode(other), 4096), Reason::protocol_error));
  }
}

TEST(ClientHandshake, RefusesAnAnswerThatCreatedWhatItOnlyResumes) {
  Hello resuming = opening_hello();
  resuming.open = false;
  resuming.service.clear();
  ClientHandshake client(resuming);
  EXPECT_TRUE(fails_with(hear(client, encode(matching_welcome()), 4096), Reason::protocol_error));
}

TEST(ClientHandshake, TakesAnAnswerThatResumesWhatItWouldOpen) {
  ClientHandshake client(opening_hello());
  Welcome resumed = matching_welcome();
  resumed.created = false;
  EXPECT_TRUE(hear(client, encode(resumed), 4096).has_value());
  EXPECT_NE(client.welcome(), nullptr);
}

TEST(ClientHandshake, RefusesAHello) {
  ClientHandshake client(opening_hello());
  EXPECT_TRUE(fails_with(hear(client, encode(opening_hello()), 4096), Reason::protocol_error));
}

TEST(ServerHandshake, RefusesAnythingButAHello) {
  ServerHandshake welcomed;
  EXPECT_TRUE(fails_with(hear(welcomed, encode(matching_welcome()), 4096), Reason::protocol_error));
  ServerHandshake refused;
  EXPECT_TRUE(fails_with(hear(refused, encode(Refused{.reason = Reason::closed, .text = {}}), 4096),
                         Reason::protocol_error));
}

TEST(HandshakeMachines, RefuseWhatIsWellFormedButMisplaced) {
  for (const auto& vector : vectors::load("handshakes_misplaced.json")) {
    SCOPED_TRACE(vector.at("name"));
    ASSERT_EQ(vector.at("error"), "protocol_error");
    const std::vector<std::byte> bytes = vectors::bytes(vector);
    HandshakeDecoder decoder;
    ConstBytes input = bytes;
    ASSERT_TRUE(decoder.feed(input).has_value() && decoder.complete()) << "it is well-formed";
    if (vector.at("at") == "server") {
      ServerHandshake server;
      EXPECT_TRUE(fails_with(hear(server, bytes, 4096), Reason::protocol_error));
      continue;
    }
    const std::vector<std::byte> said = vectors::bytes(vector, "hello");
    HandshakeDecoder hello;
    input = said;
    ASSERT_TRUE(hello.feed(input).has_value() && hello.complete());
    ClientHandshake client(std::get<Hello>(hello.message()));
    EXPECT_TRUE(fails_with(hear(client, bytes, 4096), Reason::protocol_error));
  }
}

TEST(ServerHandshake, RefusesGarbageAtItsFirstByte) {
  ServerHandshake server;
  EXPECT_TRUE(fails_with(hear(server, bytes_of("GET / HTTP/1.1"), 1), Reason::protocol_error));
  EXPECT_LE(server.received_bytes(), 1U);
}

TEST(ServerHandshake, TellsAnotherVersionApart) {
  std::vector<std::byte> bytes = encode(opening_hello());
  bytes[4] = std::byte{9};
  ServerHandshake server;
  EXPECT_TRUE(fails_with(hear(server, bytes, 4096), Reason::version_unsupported));
}

}  // namespace
}  // namespace backedpipe::test
