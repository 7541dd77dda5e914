#include "proto/handshake.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "proto/wire.hpp"

namespace backedpipe {
namespace {

constexpr std::uint32_t kMagic = 0x424B5044;  // "BKPD"
constexpr std::size_t kPreambleBytes = 8;

constexpr std::uint8_t kKindHello = 1;
constexpr std::uint8_t kKindWelcome = 2;
constexpr std::uint8_t kKindRefused = 3;

constexpr std::uint32_t kFlagOpen = 1;
constexpr std::uint32_t kFlagCreated = 1;

constexpr std::uint16_t kExtensionReuse = 1;
constexpr std::uint16_t kExtensionParting = 2;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class MessageWriter : public wire::Writer {
 public:
  explicit MessageWriter(std::uint8_t kind) {
    integer(kMagic);
    integer(kProtocolVersion);
    integer(kind);
    integer(std::uint16_t{0});
  }

  void session(const SessionId& id) { bytes(std::as_bytes(std::span(id.bytes))); }

  void position(const Position& position) {
    integer(position.delivered);
    integer(position.received);
    integer(position.window_limit);
  }

  void extensions(const Extensions& extensions) {
    if (extensions.reuse) extension(kExtensionReuse);
    if (extensions.parting) extension(kExtensionParting);
  }

  std::vector<std::byte> finish() {
    wire::store(buffer().data() + 6, static_cast<std::uint16_t>(buffer().size() - kPreambleBytes));
    return std::move(buffer());
  }

 private:
  void extension(std::uint16_t type) {
    integer(type);
    integer(std::uint16_t{0});
  }
};

// The fields that HELLO and WELCOME begin with.
struct Opening {
  SessionId session;
  std::uint64_t generation = 0;
  Position position;
  std::uint32_t flags = 0;
};

std::optional<Opening> read_opening(wire::Reader& reader) {
  Opening opening;
  const auto id = reader.take(opening.session.bytes.size());
  const auto generation = reader.integer<std::uint64_t>();
  const auto delivered = reader.integer<std::uint64_t>();
  const auto received = reader.integer<std::uint64_t>();
  const auto window_limit = reader.integer<std::uint64_t>();
  const auto flags = reader.integer<std::uint32_t>();
  if (!flags || *generation == 0 || *received < *delivered) return std::nullopt;
  std::memcpy(opening.session.bytes.data(), id->data(), id->size());
  opening.generation = *generation;
  opening.position = {*delivered, *received, *window_limit};
  opening.flags = *flags;
  return opening;
}

// Extensions fill the rest of a body. Of unknown ones the form is checked and the content skipped.
std::optional<Extensions> read_extensions(wire::Reader& reader) {
  Extensions extensions;
  while (reader.remaining() > 0) {
    const auto type = reader.integer<std::uint16_t>();
    const auto size = reader.integer<std::uint16_t>();
    if (!type || !size || !reader.take(*size)) return std::nullopt;
    if (*type == kExtensionReuse) extensions.reuse = true;
    if (*type == kExtensionParting) extensions.parting = true;
  }
  return extensions;
}

bool is_service_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxServiceNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

std::optional<HandshakeMessage> read_hello(wire::Reader& reader) {
  const auto opening = read_opening(reader);
  const auto size = reader.integer<std::uint8_t>();
  if (!opening || !size) return std::nullopt;
  const auto service = reader.take(*size);
  if (!service) return std::nullopt;
  const auto extensions = read_extensions(reader);
  if (!extensions) return std::nullopt;
  Hello hello{.session = opening->session,
              .generation = opening->generation,
              .position = opening->position,
              .open = (opening->flags & kFlagOpen) != 0,
              .service = text_of(*service),
              .offers = *extensions};
  if (hello.open ? !is_service_name(hello.service) : !hello.service.empty()) return std::nullopt;
  // A client that has not seen a WELCOME has received nothing.
  if (hello.open && hello.position.received > 0) return std::nullopt;
  return hello;
}

std::optional<HandshakeMessage> read_welcome(wire::Reader& reader) {
  const auto opening = read_opening(reader);
  if (!opening) return std::nullopt;
  const auto extensions = read_extensions(reader);
  if (!extensions) return std::nullopt;
  return Welcome{.session = opening->session,
                 .generation = opening->generation,
                 .position = opening->position,
                 .created = (opening->flags & kFlagCreated) != 0,
                 .accepts = *extensions};
}

std::optional<HandshakeMessage> read_refused(wire::Reader& reader) {
  const auto reason = reader.integer<std::uint16_t>();
  const auto size = reader.integer<std::uint16_t>();
  if (!reason || !size || *size > kMaxRefusalTextBytes) return std::nullopt;
  const auto text = reader.take(*size);
  if (!text || !read_extensions(reader)) return std::nullopt;
  return Refused{.reason = static_cast<Reason>(*reason), .text = text_of(*text)};
}

}  // namespace

std::vector<std::byte> encode(const Hello& hello) {
  const std::string_view service = std::string_view(hello.open ? hello.service : std::string_view{})
                                       .substr(0, kMaxServiceNameBytes);
  MessageWriter writer(kKindHello);
  writer.session(hello.session);
  writer.integer(hello.generation);
  writer.position(hello.position);
  writer.integer(hello.open ? kFlagOpen : 0);
  writer.integer(static_cast<std::uint8_t>(service.size()));
  writer.bytes(bytes_of(service));
  writer.extensions(hello.offers);
  return writer.finish();
}

std::vector<std::byte> encode(const Welcome& welcome) {
  MessageWriter writer(kKindWelcome);
  writer.session(welcome.session);
  writer.integer(welcome.generation);
  writer.position(welcome.position);
  writer.integer(welcome.created ? kFlagCreated : 0);
  writer.extensions(welcome.accepts);
  return writer.finish();
}

std::vector<std::byte> encode(const Refused& refused) {
  const std::string_view text = std::string_view(refused.text).substr(0, kMaxRefusalTextBytes);
  MessageWriter writer(kKindRefused);
  writer.integer(static_cast<std::uint16_t>(refused.reason));
  writer.integer(static_cast<std::uint16_t>(text.size()));
  writer.bytes(bytes_of(text));
  return writer.finish();
}

Result<void> HandshakeDecoder::feed(std::span<const std::byte>& input) {
  while (!input.empty() && !complete_) {
    const std::size_t goal = wanted_ != 0 ? wanted_ : kPreambleBytes;
    const std::size_t count = std::min(goal - used_, input.size());
    std::memcpy(buffer_.data() + used_, input.data(), count);
    used_ += count;
    input = input.subspan(count);
    if (wanted_ == 0) {
      // Garbage is refused at its first wrong byte, not only once the preamble is full.
      if (const auto checked = check_preamble(); !checked) return checked;
    }
    if (wanted_ != 0 && used_ == wanted_) {
      if (const auto decoded = decode_body(); !decoded) return decoded;
      complete_ = true;
    }
  }
  return {};
}

Result<void> HandshakeDecoder::check_preamble() {
  std::array<std::byte, 4> magic;
  wire::store(magic.data(), kMagic);
  if (std::memcmp(buffer_.data(), magic.data(), std::min(used_, magic.size())) != 0) {
    return Reason::protocol_error;
  }
  if (used_ < kPreambleBytes) return {};
  const auto kind = wire::load<std::uint8_t>(buffer_.data() + 5);
  // A refusal has the same layout in every version, so that a peer of another version can read it.
  if (wire::load<std::uint8_t>(buffer_.data() + 4) != kProtocolVersion && kind != kKindRefused) {
    return Reason::version_unsupported;
  }
  const std::size_t body = wire::load<std::uint16_t>(buffer_.data() + 6);
  if (body == 0 || body > kMaxHandshakeBytes - kPreambleBytes) return Reason::protocol_error;
  wanted_ = kPreambleBytes + body;
  return {};
}

Result<void> HandshakeDecoder::decode_body() {
  wire::Reader reader({buffer_.data() + kPreambleBytes, used_ - kPreambleBytes});
  std::optional<HandshakeMessage> message;
  switch (wire::load<std::uint8_t>(buffer_.data() + 5)) {
    case kKindHello:
      message = read_hello(reader);
      break;
    case kKindWelcome:
      message = read_welcome(reader);
      break;
    case kKindRefused:
      message = read_refused(reader);
      break;
    default:
      break;
  }
  if (!message) return Reason::protocol_error;
  message_ = std::move(*message);
  return {};
}

}  // namespace backedpipe
