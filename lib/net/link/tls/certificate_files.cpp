#include "net/link/tls/certificate_files.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "config/small_file.hpp"

namespace backedpipe {
namespace {

constexpr std::int64_t kSecondsPerDay = 24 * 60 * 60;
constexpr std::int64_t kWarnSeconds = 14 * kSecondsPerDay;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using BioPtr = std::unique_ptr<BIO, FreeBio>;

BioPtr reader_of(const FileText& text) {
  return BioPtr(BIO_new_mem_buf(text.view().data(), static_cast<int>(text.view().size())));
}

ConfigError error_in(const std::string& file, std::string message) {
  return {file, 0, 0, "", std::move(message)};
}

bool at_end_of_pem() {
  const auto error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

// All certificates of a file; `expected` completes "expected ..." when there are none.
std::vector<CertificatePtr> load_certificates(const std::string& path, const std::string& kind,
                                              const std::string& expected, ConfigErrors& errors) {
  std::vector<CertificatePtr> certificates;
  const auto text = load_public_file(path, kind);
  if (!text) {
    errors.insert(errors.end(), text.error().begin(), text.error().end());
    return certificates;
  }
  ERR_clear_error();
  const BioPtr reader = reader_of(*text);
  while (X509* next = PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(next);
  }
  if (!at_end_of_pem()) {
    errors.push_back(error_in(path, "certificate number " +
                                        std::to_string(certificates.size() + 1) +
                                        " of the file is damaged, expected " + expected));
    certificates.clear();
  } else if (certificates.empty()) {
    errors.push_back(error_in(path, "found no certificate, expected " + expected));
  }
  ERR_clear_error();
  return certificates;
}

// OpenSSL calls this for the passphrase of an encrypted private key. A daemon cannot ask for one.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

PrivateKeyPtr load_private_key(const std::string& path, ConfigErrors& errors) {
  const auto text = load_secret_file(path);
  if (!text) {
    errors.insert(errors.end(), text.error().begin(), text.error().end());
    return nullptr;
  }
  bool encrypted = false;
  ERR_clear_error();
  PrivateKeyPtr key(
      PEM_read_bio_PrivateKey(reader_of(*text).get(), nullptr, &no_passphrase, &encrypted));
  ERR_clear_error();
  if (encrypted) {
    errors.push_back(error_in(path,
                              "the private key is encrypted, expected one without a passphrase "
                              "(openssl pkey -in FILE -out FILE removes it)"));
  } else if (!key) {
    errors.push_back(error_in(path, "found no private key, expected one in PEM"));
  }
  return key;
}

std::string since(std::int64_t seconds) {
  const std::int64_t days = seconds / kSecondsPerDay;
  return days == 1 ? "1 day" : std::to_string(days) + " days";
}

// Reports in `invalid` a certificate that is not valid now, in `ending` one that expires soon.
void check_validity(const CertificatePtr& certificate, const std::string& file,
                    ConfigErrors& invalid, ConfigErrors& ending) {
  const std::string title = "the certificate of " + title_of(certificate.get());
  const std::string end = to_rfc3339(X509_get0_notAfter(certificate.get()));
  const std::int64_t left = seconds_left(certificate.get());
  if (X509_cmp_current_time(X509_get0_notBefore(certificate.get())) > 0) {
    invalid.push_back(error_in(file, title + " is not valid before " +
                                         to_rfc3339(X509_get0_notBefore(certificate.get()))));
  } else if (left < 0) {
    invalid.push_back(error_in(file, title + " expired on " + end));
  } else if (left < kWarnSeconds) {
    ending.push_back(error_in(file, title + " expires in " + since(left) + ", on " + end));
  }
}

}  // namespace

Checked<Credentials, ConfigErrors> load_credentials(const CertificateFiles& files,
                                                    CertificateUse use) {
  using Loaded = Checked<Credentials, ConfigErrors>;
  Credentials credentials;
  ConfigErrors errors;
  credentials.cas = load_certificates(files.ca, "CA file",
                                      "the certificates of the CAs to trust, in PEM", errors);
  credentials.chain =
      load_certificates(files.certificate, "certificate file",
                        "a certificate in PEM, followed by those between it and a CA", errors);
  credentials.key = load_private_key(files.key, errors);
  if (!errors.empty()) return Loaded::failure(std::move(errors));

  X509* ours = credentials.chain.front().get();
  if (X509_check_private_key(ours, credentials.key.get()) != 1) {
    ERR_clear_error();
    errors.push_back(
        error_in(files.certificate, "the certificate does not belong to the private key in " +
                                        in_quotes(files.key, files.key.size())));
  }
  const bool client = use == CertificateUse::client;
  if (!(client ? is_for_clients(ours) : is_for_servers(ours))) {
    errors.push_back(error_in(files.certificate,
                              "the certificate of " + title_of(ours) + " is not meant for " +
                                  (client ? "clients, expected extendedKeyUsage clientAuth"
                                          : "servers, expected extendedKeyUsage serverAuth")));
  }
  if (client) {
    if (auto identity = identity_of(ours)) {
      credentials.identity = std::move(*identity);
    } else {
      errors.push_back(error_in(
          files.certificate,
          "the certificate of " + title_of(ours) +
              " names no client, expected a DNS name, URI or mail address (without wildcards) "
              "as its subject alternative name"));
    }
  } else if (names_of(ours).empty()) {
    errors.push_back(error_in(files.certificate,
                              "the certificate of " + title_of(ours) +
                                  " names no server, expected a DNS name or an IP address as its "
                                  "subject alternative name"));
  }
  if (!errors.empty()) return Loaded::failure(std::move(errors));
  return credentials;
}

ExpiryReport expiry_of(const Credentials& credentials, const CertificateFiles& files) {
  ExpiryReport report;
  for (const CertificatePtr& certificate : credentials.chain)
    check_validity(certificate, files.certificate, report.errors, report.warnings);
  // An expired CA may stand beside its successor, so it is only a warning.
  for (const CertificatePtr& ca : credentials.cas)
    check_validity(ca, files.ca, report.warnings, report.warnings);
  return report;
}

}  // namespace backedpipe
