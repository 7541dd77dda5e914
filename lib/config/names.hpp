// The names people give to peers, tunnels and services, and the identities of clients.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace backedpipe {

inline constexpr std::size_t kMaxNameBytes = 64;

// 1 to 64 of A-Z a-z 0-9 . _ -
bool is_valid_name(std::string_view text);
inline constexpr std::string_view kExpectedName =
    "expected a name: 1 to 64 letters, digits, '.', '_' or '-'";

// The characters of a name, and '@'.
bool is_valid_identity(std::string_view text);
inline constexpr std::string_view kExpectedIdentity =
    "expected an identity: 1 to 64 letters, digits, '.', '_', '-' or '@'";

// What a certificate can call its owner (a DNS name, a URI or a mail address): 1 to 255 printable
// ASCII characters without blanks, and no wildcard, which does not name one owner.
bool is_valid_certificate_identity(std::string_view text);
inline constexpr std::string_view kExpectedCertificateIdentity =
    "expected a name as in the client's certificate (a DNS name, URI or mail address, without "
    "wildcards)";

// A name that a server's certificate can be required to have: a DNS name or an IP address, without
// wildcards, which only the certificate may contain.
bool is_valid_server_name(std::string_view text);
inline constexpr std::string_view kExpectedServerName =
    "expected a host name or an IP address, without wildcards (a certificate may have them)";

// The candidate that `text` was probably meant to be: the one with the fewest typing errors (a
// letter missing, added or changed, or two swapped), if they are few for its length, or the one
// that `text` abbreviates.
std::optional<std::string> nearest_name(std::string_view text,
                                        std::span<const std::string> candidates);

}  // namespace backedpipe
