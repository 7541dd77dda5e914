#include "certificate_support.hpp"

#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <sys/stat.h>

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

namespace backedpipe {
namespace {

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  if (value.empty()) return;
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (extension == nullptr) throw std::runtime_error("no such extension: " + value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TestIssuer issue(const CertificateForm& form, const TestIssuer* issuer) {
  TestIssuer made{CertificatePtr(X509_new()), PrivateKeyPtr(EVP_EC_gen("P-256"))};
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial - 1);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), form.from_seconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate), form.until_seconds);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(form.common_name.c_str()), -1,
                             -1, 0);
  X509* signer = issuer != nullptr ? issuer->certificate.get() : certificate;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  X509_set_pubkey(certificate, made.key.get());
  add_extension(certificate, signer, NID_basic_constraints,
                form.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  add_extension(certificate, signer, NID_subject_alt_name, form.names);
  add_extension(certificate, signer, NID_ext_key_usage, form.usage);
  EVP_PKEY* key = issuer != nullptr ? issuer->key.get() : made.key.get();
  if (X509_sign(certificate, key, EVP_sha256()) == 0) throw std::runtime_error("cannot sign");
  return made;
}

TestIssuer make_ca(const std::string& name, const TestIssuer* issuer) {
  return issue({.common_name = name, .names = "", .usage = "", .is_ca = true}, issuer);
}

CertificateFolder::CertificateFolder() : folder_(testing::TempDir() + "certificates.XXXXXX") {
  if (::mkdtemp(folder_.data()) == nullptr) throw std::runtime_error("cannot make " + folder_);
}

CertificateFolder::~CertificateFolder() {
  std::filesystem::remove_all(folder_);
}

std::string CertificateFolder::write(const std::string& name, const TestIssuer& owner) {
  FILE* file = std::fopen(path(name).c_str(), "a");
  PEM_write_X509(file, owner.certificate.get());
  std::fclose(file);
  return path(name);
}

std::string CertificateFolder::write_key(const std::string& name, const TestIssuer& owner,
                                         const char* passphrase) {
  write_text(name, "");
  FILE* file = std::fopen(path(name).c_str(), "w");
  PEM_write_PKCS8PrivateKey(
      file, owner.key.get(), passphrase != nullptr ? EVP_aes_128_cbc() : nullptr, passphrase,
      passphrase != nullptr ? static_cast<int>(std::string(passphrase).size()) : 0, nullptr,
      nullptr);
  std::fclose(file);
  return path(name);
}

std::string CertificateFolder::write_text(const std::string& name, const std::string& text,
                                          unsigned mode) {
  std::ofstream(path(name)) << text;
  ::chmod(path(name).c_str(), mode);
  return path(name);
}

CertificateFiles CertificateFolder::files(const std::string& name, const TestIssuer& owner,
                                          const TestIssuer& ca) {
  for (const char* suffix : {".ca", ".pem"})
    remove(name + suffix);
  return {.ca = write(name + ".ca", ca),
          .certificate = write(name + ".pem", owner),
          .key = write_key(name + ".key", owner)};
}

}  // namespace backedpipe
