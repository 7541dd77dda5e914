// The sections that both roles of the daemon share: control, metrics, log, limits, liveness.

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "config/names.hpp"
#include "config/readers.hpp"

namespace backedpipe::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr CountRange kSessions{1, 1'000'000};
constexpr CountRange kHandshakes{1, 100'000};
constexpr CountRange kSpareLinks{0, 10'000};
constexpr SizeRange kReplayBuffer{64 * kKiB, 16 * kGiB};
constexpr SizeRange kWindow{256 * kKiB, 1 * kGiB};  // 256 KiB is what every window starts with
constexpr SizeRange kMemory{1 * kMiB, 16 * kTiB};
constexpr DurationRange kResumeTimeout{seconds(1), hours(24 * 365)};
constexpr DurationRange kShutdownTimeout{seconds(1), hours(24 * 365)};
constexpr DurationRange kRestartGrace{seconds(1), hours(24)};
constexpr DurationRange kPing{milliseconds(10), hours(1)};
constexpr DurationRange kSuspect{milliseconds(10), hours(1)};
constexpr DurationRange kDead{milliseconds(20), hours(24)};
// TCP counts its keepalive in seconds, at most 32767 of them.
constexpr DurationRange kApplicationKeepalive{seconds(4), hours(12)};

void set_count(const OptionalField& field, CountRange range, std::size_t& setting) {
  if (!field) return;
  if (const auto count = read_count(*field, range)) setting = *count;
}

void set_size(const OptionalField& field, SizeRange range, std::uint64_t& setting_bytes) {
  if (!field) return;
  if (const auto size = read_size(*field, range)) setting_bytes = *size;
}

void set_duration(const OptionalField& field, DurationRange range, milliseconds& setting) {
  if (!field) return;
  if (const auto duration = read_duration(*field, range)) setting = *duration;
}

// The text "off" stands for none.
void set_optional_duration(const OptionalField& field, DurationRange range,
                           std::optional<milliseconds>& setting) {
  if (!field) return;
  const bool is_text = field->node->kind == Node::Kind::string;
  if (is_text && field->node->text == "off") {
    setting.reset();
  } else if (const auto parsed = parse_duration(field->node->text); is_text && !parsed) {
    field->fail_expected(parsed.error() + ", or \"off\"");
  } else if (const auto duration = read_duration(*field, range)) {
    setting = duration;
  }
}

// Reads an enumeration whose values are named by to_string().
template <class Enum, std::size_t kCount>
void set_choice(const OptionalField& field, const std::array<Enum, kCount>& values, Enum& setting) {
  if (!field) return;
  std::array<std::string, kCount> names;
  std::transform(values.begin(), values.end(), names.begin(),
                 [](Enum value) { return std::string(to_string(value)); });
  if (const auto choice = read_choice(*field, names)) setting = values[*choice];
}

void set_mode(const Field& field, unsigned& mode) {
  constexpr std::string_view kExpected = "octal digits from \"0000\" to \"0777\", such as \"0660\"";
  if (!field.is(Node::Kind::string, kExpected)) return;
  const std::string& text = field.node->text;
  const char* const end = text.data() + text.size();
  unsigned number = 0;
  const auto [rest, error] = std::from_chars(text.data(), end, number, 8);
  if (error != std::errc{} || rest != end || text.size() < 3 || text.size() > 4 || number > 0777) {
    field.fail_expected(std::string("expected ").append(kExpected));
    return;
  }
  mode = number;
}

void set_group(const Field& field, std::string& group) {
  if (!field.is(Node::Kind::string, "the name of a group, or \"\" for none")) return;
  if (!field.node->text.empty() && !is_valid_name(field.node->text)) {
    field.fail_expected("expected the name of a group, or \"\" for none");
    return;
  }
  group = field.node->text;
}

}  // namespace

void ListenPlaces::claim(const Field& field, const Address& address) {
  if (!address.is_unix() && address.port == 0) return;
  const auto [place, is_new] = pointers_.emplace(canonical(address), field.pointer);
  if (!is_new) {
    field.fail_expected("expected an address that no other setting listens on; " + place->second +
                        " has the same");
  }
}

void read_control(const Field& field, ReadContext& context, ControlSettings& control) {
  ObjectReader object(field);
  if (const auto socket = object.require("socket", "the path of the control socket")) {
    if (auto path = read_path(*socket, context.folder)) {
      if (path->size() > kMaxUnixPathBytes) {
        socket->fail("found a path of " + std::to_string(path->size()) + " bytes (" +
                     in_quotes(*path) + "), expected at most " + std::to_string(kMaxUnixPathBytes));
      } else {
        context.listens.claim(*socket, Address{.host = {}, .port = 0, .unix_path = *path});
        control.socket = std::move(*path);
      }
    }
  }
  if (const auto mode = object.find("mode")) set_mode(*mode, control.mode);
  if (const auto group = object.find("group")) set_group(*group, control.group);
  object.finish();
}

void read_metrics(const Field& field, ReadContext& context, MetricsSettings& metrics) {
  ObjectReader object(field);
  if (const auto listen = object.require("listen", "the address to serve metrics on")) {
    metrics.listen = read_address(*listen, kListenRules);
    if (metrics.listen) context.listens.claim(*listen, *metrics.listen);
  }
  object.finish();
}

void read_log(const Field& field, LogSettings& log) {
  ObjectReader object(field);
  set_choice(object.find("level"),
             std::array{LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warning,
                        LogLevel::error, LogLevel::off},
             log.level);
  set_choice(object.find("format"), std::array{LogFormat::text, LogFormat::json}, log.format);
  object.finish();
}

void read_limits(const Field& field, Limits& limits) {
  ObjectReader object(field);
  set_count(object.find("max_sessions"), kSessions, limits.max_sessions);
  if (const OptionalField own = object.find("max_sessions_per_identity")) {
    set_count(own, kSessions, limits.max_sessions_per_identity.emplace());
  }
  set_size(object.find("replay_buffer"), kReplayBuffer, limits.replay_buffer_bytes);
  set_size(object.find("max_window"), kWindow, limits.max_window_bytes);
  set_size(object.find("max_memory"), kMemory, limits.max_memory_bytes);
  set_duration(object.find("resume_timeout"), kResumeTimeout, limits.resume_timeout);
  set_count(object.find("max_handshakes"), kHandshakes, limits.max_handshakes);
  set_count(object.find("spare_links"), kSpareLinks, limits.spare_links);
  set_duration(object.find("shutdown_timeout"), kShutdownTimeout, limits.shutdown_timeout);
  set_duration(object.find("restart_grace"), kRestartGrace, limits.restart_grace);
  object.finish();
}

void read_liveness(const Field& field, LivenessSettings& liveness) {
  ObjectReader object(field);
  const OptionalField ping = object.find("ping");
  const OptionalField suspect = object.find("suspect");
  const OptionalField dead = object.find("dead");
  set_optional_duration(object.find("application_keepalive"), kApplicationKeepalive,
                        liveness.application_keepalive);
  set_duration(ping, kPing, liveness.ping);
  set_duration(suspect, kSuspect, liveness.suspect);
  set_duration(dead, kDead, liveness.dead);
  object.finish();

  const auto check = [&](const OptionalField& other, std::string_view name, milliseconds value) {
    if (value < liveness.dead) return;
    // Report the setting that the file contains. Without either, the defaults are consistent.
    const OptionalField& place = dead ? dead : other;
    if (!place) return;
    place->fail("found \"dead\" " + format_duration(liveness.dead) + " with " + in_quotes(name) +
                " " + format_duration(value) + ", expected \"dead\" to be longer than " +
                in_quotes(name));
  };
  check(ping, "ping", liveness.ping);
  check(suspect, "suspect", liveness.suspect);
}

}  // namespace backedpipe::config
