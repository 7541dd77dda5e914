// The handshake codec against the byte vectors, and against peers that stop, trickle or lie.
#include "proto/handshake.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/vectors.hpp"

namespace backedpipe {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kPreambleBytes = 8;

bool has_extensions(const nlohmann::json& vector) {
  return vector.value("reuse", false) || vector.value("parting", false);
}

Extensions extensions_of(const nlohmann::json& vector) {
  return {.reuse = vector.value("reuse", false), .parting = vector.value("parting", false)};
}

HandshakeMessage message_of(const nlohmann::json& vector) {
  const std::string kind = vector.at("kind");
  if (kind == "refused") {
    return Refused{.reason = static_cast<Reason>(vector.at("code").get<std::uint16_t>()),
                   .text = vector.at("text")};
  }
  const SessionId session = parse_session_id(vector.at("session").get<std::string>()).value();
  const std::uint64_t generation = vectors::number(vector, "generation");
  const Position position{.delivered = vectors::number(vector, "delivered"),
                          .received = vectors::number(vector, "received"),
                          .window_limit = vectors::number(vector, "window_limit")};
  if (kind == "welcome") {
    return Welcome{.session = session,
                   .generation = generation,
                   .position = position,
                   .created = vector.at("created"),
                   .accepts = extensions_of(vector)};
  }
  if (kind != "hello") throw std::runtime_error("no such kind: " + kind);
  return Hello{.session = session,
               .generation = generation,
               .position = position,
               .open = vector.at("open"),
               .service = vector.at("service"),
               .offers = extensions_of(vector)};
}

Bytes encoded(const HandshakeMessage& message) {
  return std::visit([](const auto& value) { return encode(value); }, message);
}

// What came of feeding a message in pieces.
struct Outcome {
  std::optional<HandshakeMessage> message;
  std::optional<Reason> error;
  std::size_t taken_bytes = 0;
};

// Feeds `bytes` in pieces that end at `cuts` and at the end.
Outcome decode(const Bytes& bytes, const std::vector<std::size_t>& cuts = {}) {
  HandshakeDecoder decoder;
  Outcome outcome;
  std::size_t from = 0;
  std::vector<std::size_t> ends = cuts;
  ends.push_back(bytes.size());
  for (const std::size_t end : ends) {
    std::span<const std::byte> piece = std::span(bytes).subspan(from, end - from);
    const Result<void> fed = decoder.feed(piece);
    outcome.taken_bytes += end - from - piece.size();
    EXPECT_EQ(decoder.size(), outcome.taken_bytes);
    if (!fed) {
      outcome.error = reason_of(fed.error());
      return outcome;
    }
    EXPECT_TRUE(piece.empty() || decoder.complete());
    from = end;
  }
  if (decoder.complete()) outcome.message = decoder.message();
  return outcome;
}

std::vector<std::size_t> every_byte(std::size_t size) {
  std::vector<std::size_t> cuts;
  for (std::size_t cut = 1; cut < size; ++cut)
    cuts.push_back(cut);
  return cuts;
}

void set_body_length(Bytes& message) {
  const std::size_t body = message.size() - kPreambleBytes;
  message[6] = static_cast<std::byte>(body >> 8);
  message[7] = static_cast<std::byte>(body & 0xFF);
}

TEST(Handshake, ValidVectorsDecodeToTheirFields) {
  for (const auto& vector : vectors::load("handshakes_valid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Bytes bytes = vectors::bytes(vector);
    const Outcome outcome = decode(bytes);
    ASSERT_TRUE(outcome.message);
    EXPECT_EQ(*outcome.message, message_of(vector));
    EXPECT_EQ(outcome.taken_bytes, bytes.size());
    if (const auto* refused = std::get_if<Refused>(&*outcome.message)) {
      EXPECT_EQ(name(refused->reason), vector.at("reason").get<std::string>());
    }
  }
}

TEST(Handshake, FieldsEncodeToTheBytesOfTheirVector) {
  for (const auto& vector : vectors::load("handshakes_valid.json")) {
    if (!vector.value("canonical", true)) continue;
    SCOPED_TRACE(vector.at("name"));
    EXPECT_EQ(encoded(message_of(vector)), vectors::bytes(vector));
  }
}

TEST(Handshake, WhereAMessageIsSplitDoesNotMatter) {
  for (const auto& vector : vectors::load("handshakes_valid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Bytes bytes = vectors::bytes(vector);
    const HandshakeMessage expected = message_of(vector);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      ASSERT_EQ(decode(bytes, {cut}).message, expected) << "cut at " << cut;
    }
    EXPECT_EQ(decode(bytes, every_byte(bytes.size())).message, expected);
  }
}

TEST(Handshake, AMessageIsCompleteWithItsLastByteAndNotBefore) {
  for (const auto& vector : vectors::load("handshakes_valid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Bytes bytes = vectors::bytes(vector);
    HandshakeDecoder decoder;
    for (const std::byte& byte : bytes) {
      ASSERT_FALSE(decoder.complete());
      std::span<const std::byte> one(&byte, 1);
      ASSERT_TRUE(decoder.feed(one));
    }
    EXPECT_TRUE(decoder.complete());
  }
}

TEST(Handshake, BytesBehindAMessageAreLeftForTheFrames) {
  for (const auto& vector : vectors::load("handshakes_valid.json")) {
    SCOPED_TRACE(vector.at("name"));
    Bytes bytes = vectors::bytes(vector);
    const std::size_t size = bytes.size();
    bytes.resize(size + 21, std::byte{0x55});
    HandshakeDecoder decoder;
    std::span<const std::byte> input(bytes);
    ASSERT_TRUE(decoder.feed(input));
    ASSERT_TRUE(decoder.complete());
    EXPECT_EQ(input.data(), bytes.data() + size);
    EXPECT_EQ(input.size(), 21U);
    ASSERT_TRUE(decoder.feed(input));
    EXPECT_EQ(input.size(), 21U);
    EXPECT_EQ(decoder.message(), message_of(vector));
  }
}

TEST(Handshake, InvalidVectorsAreRefusedWithTheirReason) {
  for (const auto& vector : vectors::load("handshakes_invalid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Outcome outcome = decode(vectors::bytes(vector));
    EXPECT_FALSE(outcome.message);
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(name(*outcome.error), vector.at("error").get<std::string>());
  }
}

TEST(Handshake, InvalidMessagesAreRefusedAtTheFirstByteThatShowsIt) {
  for (const auto& vector : vectors::load("handshakes_invalid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Bytes bytes = vectors::bytes(vector);
    const Outcome trickled = decode(bytes, every_byte(bytes.size()));
    ASSERT_TRUE(trickled.error);
    EXPECT_EQ(name(*trickled.error), vector.at("error").get<std::string>());
    EXPECT_EQ(trickled.taken_bytes, vector.at("error_after_bytes").get<std::size_t>());
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      ASSERT_EQ(decode(bytes, {cut}).error, trickled.error) << "cut at " << cut;
    }
  }
}

TEST(Handshake, ARefusedMessageStaysRefused) {
  for (const auto& vector : vectors::load("handshakes_invalid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Bytes bytes = vectors::bytes(vector);
    HandshakeDecoder decoder;
    std::span<const std::byte> input(bytes);
    ASSERT_FALSE(decoder.feed(input));
    const Bytes more(8, std::byte{0x42});
    input = more;
    EXPECT_FALSE(decoder.feed(input));
    EXPECT_FALSE(decoder.complete());
  }
}

TEST(Handshake, GarbageIsRefusedAtItsFirstWrongByte) {
  const std::string_view magic = "BKPD";
  for (std::size_t at = 0; at < magic.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      if (value == static_cast<unsigned char>(magic[at])) continue;
      Bytes bytes;
      for (const char c : magic.substr(0, at))
        bytes.push_back(static_cast<std::byte>(c));
      bytes.push_back(static_cast<std::byte>(value));
      ASSERT_EQ(decode(bytes, every_byte(bytes.size())).error, Reason::protocol_error);
    }
  }
}

TEST(Handshake, EveryShorterBodyIsRefused) {
  for (const auto& vector : vectors::load("handshakes_valid.json")) {
    // Without its extensions a message is another one.
    if (!vector.value("canonical", true) || has_extensions(vector)) continue;
    SCOPED_TRACE(vector.at("name"));
    Bytes bytes = vectors::bytes(vector);
    while (bytes.size() > kPreambleBytes) {
      bytes.pop_back();
      set_body_length(bytes);
      const Outcome outcome = decode(bytes);
      ASSERT_EQ(outcome.error, Reason::protocol_error) << bytes.size() << " bytes left";
    }
  }
}

TEST(Handshake, EveryExtensionIsSkippedWhateverItHolds) {
  const Hello hello{.session = {}, .generation = 1, .position = {}, .open = true, .service = "db"};
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    Bytes bytes = encode(hello);
    for (std::size_t left = random() % 5; left > 0; --left) {
      const std::size_t size = random() % 600;
      for (const std::size_t field : {random() % 65536, size}) {
        bytes.push_back(static_cast<std::byte>(field >> 8));
        bytes.push_back(static_cast<std::byte>(field & 0xFF));
      }
      for (std::size_t i = 0; i < size; ++i)
        bytes.push_back(static_cast<std::byte>(random() & 0xFF));
    }
    set_body_length(bytes);
    ASSERT_EQ(decode(bytes).message, HandshakeMessage(hello));
  }
}

TEST(Handshake, EveryOtherVersionIsUnsupportedExceptInARefusal) {
  const Refused refused{.reason = Reason::version_unsupported, .text = "only version 9 here"};
  for (int version = 0; version < 256; ++version) {
    if (version == kProtocolVersion) continue;
    Bytes bytes = encode(Welcome{.session = {}, .generation = 1, .position = {}});
    bytes[4] = static_cast<std::byte>(version);
    EXPECT_EQ(decode(bytes).error, Reason::version_unsupported);
    bytes = encode(refused);
    bytes[4] = static_cast<std::byte>(version);
    EXPECT_EQ(decode(bytes).message, HandshakeMessage(refused));
  }
}

TEST(Handshake, ServiceNamesConsistOfLettersDigitsDotDashAndUnderscore) {
  for (int c = 0; c < 256; ++c) {
    Hello hello{.session = {}, .generation = 1, .position = {}, .open = true, .service = "a?z"};
    hello.service[1] = static_cast<char>(c);
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    const Outcome outcome = decode(encode(hello));
    EXPECT_EQ(outcome.message.has_value(), allowed) << c;
    if (!allowed) {
      EXPECT_EQ(outcome.error, Reason::protocol_error) << c;
    }
  }
}

TEST(Handshake, AServiceIsNamedOnlyWhenOpening) {
  const Hello hello{
      .session = {}, .generation = 2, .position = {}, .open = false, .service = "ssh"};
  const Outcome outcome = decode(encode(hello));
  ASSERT_TRUE(outcome.message);
  EXPECT_EQ(std::get<Hello>(*outcome.message).service, "");
}

TEST(Handshake, TooLongATextIsCutToItsLimit) {
  const Refused refused{.reason = Reason::expired, .text = std::string(100'000, 'x')};
  const Bytes bytes = encode(refused);
  EXPECT_LE(bytes.size(), kMaxHandshakeBytes);
  const Outcome outcome = decode(bytes);
  ASSERT_TRUE(outcome.message);
  EXPECT_EQ(std::get<Refused>(*outcome.message).text, std::string(kMaxRefusalTextBytes, 'x'));
}

TEST(Handshake, TheLargestMessageIsTakenAndOneByteMoreIsNot) {
  const Hello hello{.session = {}, .generation = 1, .position = {}, .open = false, .service = {}};
  for (const std::size_t size : {kMaxHandshakeBytes, kMaxHandshakeBytes + 1}) {
    Bytes bytes = encode(hello);
    const std::size_t filling = size - bytes.size() - 4;
    bytes.insert(bytes.end(), {std::byte{0}, std::byte{16}, static_cast<std::byte>(filling >> 8),
                               static_cast<std::byte>(filling & 0xFF)});
    bytes.resize(size);
    set_body_length(bytes);
    const Outcome outcome = decode(bytes);
    if (size == kMaxHandshakeBytes) {
      EXPECT_EQ(outcome.message, HandshakeMessage(hello));
    } else {
      EXPECT_EQ(outcome.error, Reason::protocol_error);
      EXPECT_LE(outcome.taken_bytes, kPreambleBytes);
    }
  }
}

TEST(Handshake, AnAnnouncedLengthTakesNoMemoryOfItsOwn) {
  // The decoder is a fixed buffer and a message; nothing in it grows before the message is whole.
  static_assert(sizeof(HandshakeDecoder) <= kMaxHandshakeBytes + 256);
  const Bytes preamble = vectors::bytes_of_hex("424b5044 01 01 0ff8 00");
  HandshakeDecoder decoder;
  std::span<const std::byte> input(preamble);
  ASSERT_TRUE(decoder.feed(input));
  EXPECT_TRUE(input.empty());
  EXPECT_FALSE(decoder.complete());
  EXPECT_EQ(decoder.size(), preamble.size());
}

TEST(Handshake, NothingIsTakenFromNothing) {
  HandshakeDecoder decoder;
  std::span<const std::byte> input;
  EXPECT_TRUE(decoder.feed(input));
  EXPECT_FALSE(decoder.complete());
  EXPECT_EQ(decoder.size(), 0U);
}

TEST(Handshake, RandomMessagesSurviveTheRoundTrip) {
  std::mt19937_64 random(1);
  const auto number = [&] { return random() >> (random() % 64); };
  const auto position = [&] {
    Position drawn{.delivered = number(), .received = number(), .window_limit = number()};
    if (drawn.received < drawn.delivered) std::swap(drawn.received, drawn.delivered);
    return drawn;
  };
  for (int round = 0; round < 2'000; ++round) {
    SessionId session;
    for (auto& byte : session.bytes)
      byte = static_cast<std::uint8_t>(random() & 0xFF);
    const std::uint64_t generation = std::max<std::uint64_t>(1, number());
    HandshakeMessage message;
    switch (random() % 3) {
      case 0: {
        Hello hello{.session = session,
                    .generation = generation,
                    .position = position(),
                    .open = random() % 2 == 0,
                    .service = {}};
        if (hello.open) {
          hello.position.delivered = hello.position.received = 0;
          hello.service = std::string(1 + random() % kMaxServiceNameBytes, 's');
        }
        message = hello;
        break;
      }
      case 1:
        message = Welcome{.session = session,
                          .generation = generation,
                          .position = position(),
                          .created = random() % 2 == 0};
        break;
      default: {
        Refused refused{.reason = static_cast<Reason>(random() & 0xFFFF), .text = {}};
        refused.text.resize(random() % (kMaxRefusalTextBytes + 1));
        for (char& c : refused.text)
          c = static_cast<char>(random() & 0xFF);
        message = refused;
      }
    }
    const Bytes bytes = encoded(message);
    ASSERT_LE(bytes.size(), kMaxHandshakeBytes);
    ASSERT_EQ(decode(bytes, {random() % bytes.size()}).message, message);
  }
}

// Valid messages with a few bytes changed, cut or repeated, in random pieces: either an error, or
// everything is taken, and it makes no difference how the bytes were split.
TEST(Handshake, DamagedMessagesEndInAnErrorOrInAMessage) {
  std::vector<Bytes> corpus;
  for (const char* file : {"handshakes_valid.json", "handshakes_invalid.json"}) {
    for (const auto& vector : vectors::load(file))
      corpus.push_back(vectors::bytes(vector));
  }
  std::mt19937_64 random(20'240'229);
  for (int round = 0; round < 20'000; ++round) {
    Bytes bytes = corpus[random() % corpus.size()];
    for (std::size_t changes = random() % 4; changes > 0 && !bytes.empty(); --changes) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] ^= std::byte{1} << static_cast<int>(random() % 8);
          break;
        case 1:
          bytes[at] = static_cast<std::byte>(random() & 0xFF);
          break;
        case 2:
          bytes.resize(at);
          break;
        default:
          bytes.insert(bytes.end(), bytes.begin(), bytes.begin() + static_cast<long>(at));
      }
    }
    // Half of them get past the preamble, so that the bodies are reached.
    if (bytes.size() > kPreambleBytes && bytes.size() <= kMaxHandshakeBytes && random() % 2 == 0) {
      set_body_length(bytes);
    }
    const Outcome whole = decode(bytes);
    std::vector<std::size_t> cuts;
    for (std::size_t cut = random() % 40; cut < bytes.size(); cut += random() % 40) {
      cuts.push_back(cut);
    }
    const Outcome pieces = decode(bytes, cuts);
    ASSERT_EQ(whole.error, pieces.error) << "round " << round;
    ASSERT_EQ(whole.message, pieces.message) << "round " << round;
    ASSERT_FALSE(whole.error && whole.message);
    if (!whole.error && !whole.message) {
      ASSERT_EQ(whole.taken_bytes, bytes.size());
    }
    // Whatever is accepted can be sent on, and means the same.
    if (whole.message) {
      ASSERT_EQ(decode(encoded(*whole.message)).message, whole.message);
    }
  }
}

}  // namespace
}  // namespace backedpipe
