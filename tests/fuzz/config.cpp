// Configuration and key files of arbitrary text: settings or errors, never an exception, and no key
// in an error. Input: 1 byte that chooses the parser, the text.
#include <string>

#include "config/key_file.hpp"
#include "config/parse_settings.hpp"
#include "tests/fuzz/input.hpp"

namespace backedpipe::fuzz {
namespace {

const std::string kFileName = "file";

bool is_one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

void check_errors(const ConfigErrors& errors, std::string_view text) {
  require(!errors.empty(), "a failure says what is wrong");
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  for (const ConfigError& error : errors) {
    require(!error.message.empty() && error.file == kFileName, "an error has a text and a file");
    require(error.line >= 0 && error.line <= lines && error.column >= 0,
            "an error is at a place in the text");
    require(is_one_line(to_string(error)), "an error is one line of printable text");
  }
}

bool has_hex_run(std::string_view text, std::size_t length) {
  std::size_t run = 0;
  for (const char c : text) {
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    run = hex ? run + 1 : 0;
    if (run >= length) return true;
  }
  return false;
}

void check_settings(std::string_view text) {
  const auto settings = parse_settings(text, kFileName);
  if (!settings) {
    check_errors(settings.error(), text);
    return;
  }
  for (const TunnelSettings& tunnel : settings->tunnels)
    require(settings->find_peer(tunnel.peer) != nullptr, "a tunnel's peer exists");
  for (const PeerSettings& peer : settings->peers)
    require(!peer.endpoints.empty(), "a peer has an endpoint");
}

void check_keys(std::string_view text) {
  const auto keys = parse_key_file(text, kFileName);
  if (!keys) {
    check_errors(keys.error(), text);
    require(!has_hex_run(to_string(keys.error()), 16), "no error shows a key");
    return;
  }
  require(!keys->entries.empty(), "a key file has an entry");
  for (const KeyEntry& entry : keys->entries)
    require(keys->find(entry.identity) == &entry.key, "identities differ");
}

void run(FuzzInput input) {
  const bool keys = input.coin();
  const std::string_view text = text_of(input.rest());
  keys ? check_keys(text) : check_settings(text);
}

}  // namespace
}  // namespace backedpipe::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  backedpipe::fuzz::run({data, size});
  return 0;
}
