// Files of pre-shared keys in stunnel's format.
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

  // Null when the identity has no key. The time it takes does not depend on secrets: an identity
  // travels in the clear.
  const PskKey* find(std::string_view identity) const;
};

// Pure; `file_name` is for messages. Reports every wrong line, and never what is in it: even what
// looks like an identity may be a mistyped key.
Checked<KeyFile, ConfigErrors> parse_key_file(std::string_view text, const std::string& file_name);

// load_secret_file() and parse_key_file(). Wipes the text it read.
Checked<KeyFile, ConfigErrors> load_key_file(const std::string& path);

// For a client, whose file says who it is: the one entry of the file, or an error when there are
// several.
Checked<KeyEntry, ConfigErrors> single_key(const KeyFile& keys, const std::string& file_name);
Checked<KeyEntry, ConfigErrors> load_single_key(const std::string& path);

}  // namespace backedpipe
