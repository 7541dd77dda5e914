// Handshakes on arbitrary bytes: the decoder and both roles, in one piece and split. Input: 4 bytes
// of piece sizes, the stream.
#include "proto/handshake.hpp"

#include <optional>
#include <vector>

#include "session/handshake.hpp"
#include "tests/fuzz/input.hpp"

namespace backedpipe::fuzz {
namespace {

// What came of feeding a decoder, or a machine, the stream.
struct Outcome {
  std::optional<Reason> error;
  bool complete = false;
  std::size_t left = 0;  // bytes behind the message

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// `feed(bytes)` takes bytes from the front of `bytes`, and `complete()` tells when it has enough.
template <typename Feed, typename Complete>
Outcome feed_whole(std::span<const std::byte> stream, Feed feed, Complete complete) {
  const auto fed = feed(stream);
  if (!fed) return {.error = reason_of(fed.error())};
  require(complete() || stream.empty(), "takes all until it is complete");
  return {.complete = complete(), .left = complete() ? stream.size() : 0};
}

template <typename Feed, typename Complete>
Outcome feed_split(std::span<const std::byte> stream, Splitter& splitter, Feed feed,
                   Complete complete) {
  while (!stream.empty() && !complete()) {
    auto piece = stream.first(splitter.next(stream.size()));
    const std::size_t given = piece.size();
    if (const auto fed = feed(piece); !fed) return {.error = reason_of(fed.error())};
    require(complete() || piece.empty(), "takes all until it is complete");
    stream = stream.subspan(given - piece.size());
  }
  return {.complete = complete(), .left = complete() ? stream.size() : 0};
}

std::vector<std::byte> encode_any(const HandshakeMessage& message) {
  return std::visit([](const auto& each) { return encode(each); }, message);
}

void check_stable(const HandshakeMessage& message) {
  const std::vector<std::byte> encoded = encode_any(message);
  require(encoded.size() <= kMaxHandshakeBytes, "within the limit");
  HandshakeDecoder decoder;
  std::span<const std::byte> bytes = encoded;
  require(decoder.feed(bytes).has_value() && decoder.complete() && bytes.empty(),
          "what was decoded can be encoded");
  require(decoder.message() == message, "encoding and decoding changes nothing");
  require(encode_any(decoder.message()) == encoded, "there is one encoding");
}

std::optional<HandshakeMessage> check_decoder(std::span<const std::byte> stream,
                                              Splitter splitter) {
  HandshakeDecoder whole;
  HandshakeDecoder split;
  const Outcome one = feed_whole(
      stream, [&](auto& bytes) { return whole.feed(bytes); }, [&] { return whole.complete(); });
  const Outcome other = feed_split(
      stream, splitter, [&](auto& bytes) { return split.feed(bytes); },
      [&] { return split.complete(); });
  require(one == other, "the decoder's verdict depends on the bytes alone");
  require(whole.size() <= kMaxHandshakeBytes && whole.size() <= stream.size(),
          "takes no more than the limit");
  if (!one.complete) return std::nullopt;
  require(whole.message() == split.message(), "the same message however it is split");
  check_stable(whole.message());
  return whole.message();
}

void check_client(std::span<const std::byte> stream, const Splitter& pieces, const Hello& hello) {
  ClientHandshake whole(hello);
  ClientHandshake split(hello);
  Splitter splitter = pieces;
  const Outcome one = feed_whole(
      stream, [&](auto& bytes) { return whole.receive(bytes); }, [&] { return whole.complete(); });
  const Outcome other = feed_split(
      stream, splitter, [&](auto& bytes) { return split.receive(bytes); },
      [&] { return split.complete(); });
  require(one == other, "the client's verdict depends on the bytes alone");
  if (one.error || !one.complete) return;
  require((whole.welcome() != nullptr) != (whole.refused() != nullptr),
          "a complete answer is either a WELCOME or REFUSED");
  if (const Welcome* welcome = whole.welcome()) {
    require(welcome->session == hello.session && welcome->generation == hello.generation,
            "a WELCOME answers this HELLO");
  }
}

void check_server(std::span<const std::byte> stream, const Splitter& pieces) {
  ServerHandshake whole;
  ServerHandshake split;
  Splitter splitter = pieces;
  const Outcome one = feed_whole(
      stream, [&](auto& bytes) { return whole.receive(bytes); }, [&] { return whole.complete(); });
  const Outcome other = feed_split(
      stream, splitter, [&](auto& bytes) { return split.receive(bytes); },
      [&] { return split.complete(); });
  require(one == other, "the server's verdict depends on the bytes alone");
  if (one.error || !one.complete) return;
  const Hello& hello = whole.hello();
  require(hello == split.hello(), "the same HELLO however it is split");
  // The machines understand each other.
  whole.answer(Welcome{.session = hello.session,
                       .generation = hello.generation,
                       .position = hello.position,
                       .created = hello.open});
  ClientHandshake client(hello);
  Splitter again = pieces;
  while (!whole.outgoing().empty()) {
    auto piece = whole.outgoing().first(again.next(whole.outgoing().size()));
    const std::size_t size = piece.size();
    require(client.receive(piece).has_value() && piece.empty(), "a server's answer is understood");
    whole.sent(size);
  }
  require(client.complete() && client.welcome() != nullptr, "a server's answer is complete");
}

void run(FuzzInput input) {
  const Splitter splitter(input);
  const auto stream = input.rest();
  const auto message = check_decoder(stream, splitter);
  check_server(stream, splitter);
  Hello hello{.session = {}, .generation = 1, .position = {}, .open = true, .service = "ssh"};
  check_client(stream, splitter, hello);
  if (!message) return;
  if (const auto* welcome = std::get_if<Welcome>(&*message)) {
    hello.session = welcome->session;
    hello.generation = welcome->generation;
    check_client(stream, splitter, hello);
  }
}

}  // namespace
}  // namespace backedpipe::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  backedpipe::fuzz::run({data, size});
  return 0;
}
