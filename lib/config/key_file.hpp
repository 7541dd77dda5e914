// Reads files of pre-shared keys.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/checked.hpp"
#include "config/config_error.hpp"
#include "config/psk_key.hpp"

namespace backedpipe {

// A file of pre-shared keys in stunnel's format: a line "identity:hexkey" for each client, 64 hex
// digits a key; blank lines and lines that start with '#' or ';' are comments. Plain value.
struct KeyEntry {
  std::string identity;
  PskKey key;
};

struct KeyFile {
  std::vector<KeyEntry> entries;  // at least one; identities differ

  // Null when the identity has no key. The search need not take constant time: it compares only
  // identities, which are no secret (they travel in the clear).
  const PskKey* find(std::string_view identity) const;
};

// Pure; `file_name` is for messages. Reports every wrong line, but never quotes it: even what looks
// like an identity may be a mistyped key.
Checked<KeyFile, ConfigErrors> parse_key_file(std::string_view text, const std::string& file_name);

// load_secret_file(), then parse_key_file(). Wipes the text it has read.
Checked<KeyFile, ConfigErrors> load_key_file(const std::string& path);

// For a client, whose key file determines its identity: the only entry of the file. An error when
// there are several.
Checked<KeyEntry, ConfigErrors> single_key(const KeyFile& keys, const std::string& file_name);
Checked<KeyEntry, ConfigErrors> load_single_key(const std::string& path);

}  // namespace backedpipe
