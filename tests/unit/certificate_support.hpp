// Certificates for tests, made when they are needed: nothing secret is kept in the repository.
#pragma once

#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "config/settings.hpp"
#include "net/link/tls/certificate_files.hpp"

namespace backedpipe {

// What a test certificate says; extensions as openssl.cnf spells them, empty for none.
struct CertificateForm {
  std::string common_name = "nobody.example.org";
  std::string names = "DNS:gw.example.org";
  std::string usage = "serverAuth";
  long from_seconds = -3600;  // relative to now
  long until_seconds = 30L * 24 * 60 * 60;
  bool is_ca = false;
};

// A certificate and its private key.
struct TestIssuer {
  CertificatePtr certificate;
  PrivateKeyPtr key;
};

// Self-signed when there is no issuer.
TestIssuer issue(const CertificateForm& form, const TestIssuer* issuer);
TestIssuer make_ca(const std::string& name, const TestIssuer* issuer = nullptr);

// A folder of PEM files, which goes with the object.
class CertificateFolder {
 public:
  CertificateFolder();
  ~CertificateFolder();
  CertificateFolder(const CertificateFolder&) = delete;
  CertificateFolder& operator=(const CertificateFolder&) = delete;

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  // Appends when the file is there already.
  std::string write(const std::string& name, const TestIssuer& owner);
  std::string write_key(const std::string& name, const TestIssuer& owner,
                        const char* passphrase = nullptr);
  std::string write_text(const std::string& name, const std::string& text, unsigned mode = 0600);
  void remove(const std::string& name) { std::filesystem::remove(path(name)); }

  // NAME.pem and NAME.key, trusting the CA.
  CertificateFiles files(const std::string& name, const TestIssuer& owner, const TestIssuer& ca);

 private:
  std::string folder_;
};

}  // namespace backedpipe
