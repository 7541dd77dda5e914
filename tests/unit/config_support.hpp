// What the tests of the configuration share: small files that work, and a look at their errors.
#pragma once

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "config/parse_settings.hpp"

namespace backedpipe {

inline constexpr std::string_view kClient = R"("peers": {"office": {"endpoints": ["gw:7700"],
  "security": "none"}}, "tunnels": [{"name": "ssh", "listen": "127.0.0.1:2222",
  "peer": "office", "service": "ssh"}])";

inline constexpr std::string_view kServices = R"("services": {"ssh": {"target": "127.0.0.1:22"}})";

inline Checked<Settings, ConfigErrors> parse(std::string_view text) {
  return parse_settings(text, "/etc/backedpipd/test.json");
}

// A working client with more settings in front.
inline Checked<Settings, ConfigErrors> parse_with(const std::string& section) {
  std::string text = "{ ";
  text.append(section).append(section.empty() ? " " : ", ").append(kClient).append(" }");
  return parse(text);
}

// A working server with one more entry for "accept".
inline Checked<Settings, ConfigErrors> parse_accept(const std::string& accept) {
  std::string text = "{ \"accept\": [ ";
  text.append(accept).append(" ], ").append(kServices).append(" }");
  return parse(text);
}

// All errors, without the file's name; empty when there is none.
inline std::string errors_of(const Checked<Settings, ConfigErrors>& result) {
  if (result) return "";
  ConfigErrors errors = result.error();
  for (ConfigError& error : errors) {
    EXPECT_EQ(error.file, "/etc/backedpipd/test.json");
    error.file.clear();
    error.line = 0;
  }
  return to_string(errors);
}

inline void expect_error(const Checked<Settings, ConfigErrors>& result, std::string_view part) {
  const std::string errors = errors_of(result);
  EXPECT_NE(errors.find(part), std::string::npos) << "expected: " << part << "\ngot: " << errors;
}

inline std::string sample(const std::string& name) {
  return CONFIG_SAMPLES_DIR "/" + name;
}

}  // namespace backedpipe
