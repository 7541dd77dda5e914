#include "daemon/log.hpp"

#include <memory>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>
#include <spdlog/details/os.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "control/snapshot_json.hpp"
#include "daemon/journal.hpp"
#include "net/events/event_log.hpp"

namespace backedpipe {
namespace {

// The message as a JSON string, followed by the fields of an event. The line is valid JSON whatever
// names a peer has sent.
class JsonMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text(message.payload.data(), message.payload.size());
    const std::string quoted =
        nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    out.append(quoted.data(), quoted.data() + quoted.size());
    const Event* const event = event_being_logged();
    if (event == nullptr) return;
    const std::string fields = R"(,"event":)" + to_text(to_json(*event));
    out.append(fields.data(), fields.data() + fields.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMessage>();
  }
};

// The message with control characters escaped, so that a peer's text cannot forge a line.
class PlainMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    static constexpr char kDigits[] = "0123456789abcdef";
    for (const char c : message.payload) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= 0x20 && byte != 0x7f) {
        out.push_back(c);
      } else {
        const char escaped[] = {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
        out.append(escaped, escaped + sizeof escaped);
      }
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<PlainMessage>();
  }
};

// The priority of a line as the journal expects it at the line's start, "<4>": see sd-daemon(3).
class JournalPriority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const char prefix[] = {'<', journal_priority(message.level), '>'};
    out.append(prefix, prefix + sizeof prefix);
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JournalPriority>();
  }
};

enum class Destination { anywhere, journal_line, journal_entry };

std::unique_ptr<spdlog::formatter> make_formatter(LogFormat format, Destination destination) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(
      spdlog::pattern_time_type::local,
      destination == Destination::journal_entry ? "" : spdlog::details::os::default_eol);
  formatter->add_flag<JournalPriority>('P');
  const std::string priority = destination == Destination::journal_line ? "%P" : "";
  if (format == LogFormat::json) {
    formatter->add_flag<JsonMessage>('*');
    formatter->set_pattern(priority +
                           R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%*})");
  } else {
    formatter->add_flag<PlainMessage>('*');
    // The journal keeps time and priority in fields of its own.
    formatter->set_pattern(destination == Destination::anywhere ? "%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %*"
                                                                : priority + "%*");
  }
  return formatter;
}

}  // namespace

void set_up_log(const LogSettings& settings) {
  spdlog::sink_ptr sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  sink->set_formatter(make_formatter(
      settings.format, writes_to_journal() ? Destination::journal_line : Destination::anywhere));
  if (const auto path = journal_socket()) {
    sink = make_journal_sink(*path, std::move(sink));
    sink->set_formatter(make_formatter(settings.format, Destination::journal_entry));
  }
  auto logger = std::make_shared<spdlog::logger>("backedpipd", std::move(sink));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  set_log_level(settings.level);
}

}  // namespace backedpipe
