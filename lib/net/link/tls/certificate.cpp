#include "net/link/tls/certificate.hpp"

#include <arpa/inet.h>
#include <array>
#include <cstdio>
#include <ctime>
#include <string_view>

#include <openssl/x509v3.h>

#include "config/config_error.hpp"
#include "config/names.hpp"

namespace backedpipe {
namespace {

constexpr std::size_t kMaxNamesShown = 5;

struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeNames>;

NamesPtr alternative_names(const X509* certificate) {
  return NamesPtr(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
}

std::string text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

std::string text_of(const GENERAL_NAME* name) {
  switch (name->type) {
    case GEN_DNS:
      return text_of(name->d.dNSName);
    case GEN_URI:
      return text_of(name->d.uniformResourceIdentifier);
    case GEN_EMAIL:
      return text_of(name->d.rfc822Name);
    case GEN_IPADD: {
      const ASN1_OCTET_STRING* address = name->d.iPAddress;
      const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
      std::array<char, INET6_ADDRSTRLEN> text{};
      if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return {};
      ::inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size());
      return text.data();
    }
    default:
      return {};
  }
}

std::string line_of(const X509_NAME* name) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> out(BIO_new(BIO_s_mem()), &BIO_free_all);
  if (!out || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) < 0)
    return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return printable({data, static_cast<std::size_t>(size)}, 160);
}

bool has_usage(X509* certificate, std::uint32_t usage) {
  const std::uint32_t usages = X509_get_extended_key_usage(certificate);
  // All bits are set when the certificate has no such extension.
  return usages != UINT32_MAX && (usages & usage) != 0;
}

}  // namespace

std::optional<std::string> identity_of(const X509* certificate) {
  const NamesPtr names = alternative_names(certificate);
  if (!names) return std::nullopt;
  for (const int type : {GEN_DNS, GEN_URI, GEN_EMAIL}) {
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
      const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
      if (name->type != type) continue;
      std::string text = text_of(name);
      if (!is_valid_certificate_identity(text)) return std::nullopt;
      return text;
    }
  }
  return std::nullopt;
}

bool is_ip_address(const std::string& name) {
  std::array<unsigned char, 16> address;
  return ::inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

bool is_for(X509* certificate, const std::string& name) {
  if (is_ip_address(name)) return X509_check_ip_asc(certificate, name.c_str(), 0) == 1;
  return X509_check_host(certificate, name.data(), name.size(),
                         X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                         nullptr) == 1;
}

std::string names_of(const X509* certificate) {
  const NamesPtr names = alternative_names(certificate);
  std::string list;
  std::size_t shown = 0;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const std::string text = text_of(sk_GENERAL_NAME_value(names.get(), i));
    if (text.empty()) continue;
    if (shown++ == kMaxNamesShown) return list + ", ...";
    list += (list.empty() ? "" : ", ") + printable(text);
  }
  return list;
}

std::string title_of(const X509* certificate) {
  const NamesPtr names = alternative_names(certificate);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const std::string text = text_of(sk_GENERAL_NAME_value(names.get(), i));
    if (!text.empty()) return printable(text);
  }
  return "\"" + line_of(X509_get_subject_name(certificate)) + "\"";
}

std::string issuer_of(const X509* certificate) {
  return "\"" + line_of(X509_get_issuer_name(certificate)) + "\"";
}

bool is_for_servers(X509* certificate) {
  return has_usage(certificate, XKU_SSL_SERVER);
}

bool is_for_clients(X509* certificate) {
  return has_usage(certificate, XKU_SSL_CLIENT);
}

std::string to_rfc3339(const ASN1_TIME* time) {
  std::tm parts{};
  std::array<char, 32> text{};
  if (ASN1_TIME_to_tm(time, &parts) != 1 ||
      std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
    return "an unreadable time";
  }
  return text.data();
}

std::int64_t seconds_left(const X509* certificate) {
  int days = 0;
  int seconds = 0;
  // Null means now.
  if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate)) != 1) return -1;
  return std::int64_t{days} * 24 * 60 * 60 + seconds;
}

}  // namespace backedpipe
