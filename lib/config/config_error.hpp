// Errors in configuration and key files, and how they and foreign text are printed in a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace backedpipe {

// One thing that is wrong in a file, and where. Plain value.
struct ConfigError {
  std::string file;
  int line = 0;         // from 1; 0: the file as a whole
  int column = 0;       // in characters, from 1; 0: the line as a whole
  std::string pointer;  // JSON pointer (RFC 6901) of the setting; empty: the whole document
  std::string message;  // what was found, and what is allowed
};

using ConfigErrors = std::vector<ConfigError>;

// "file:line:column: /json/pointer: message", leaving out what is not known.
std::string to_string(const ConfigError& error);

// One error a line, without a newline after the last.
std::string to_string(const ConfigErrors& errors);

// Text from a file or a command line, made safe for one line of an error message: in double quotes,
// with control characters escaped, and cut after `max_bytes` (never inside a character).
std::string in_quotes(std::string_view text, std::size_t max_bytes = 80);

// The same without the quotes.
std::string printable(std::string_view text, std::size_t max_bytes = 80);

}  // namespace backedpipe
