// The files of a side with certificates: what is refused, in words for people, and what a check of
// the configuration says about them.

#include "net/link/tls/certificate_files.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "certificate_support.hpp"
#include "net/link/tls/check_certificates.hpp"

namespace backedpipe {
namespace {

constexpr long kDay = 24L * 60 * 60;

class CertificateFilesTest : public testing::Test {
 protected:
  CertificateFilesTest() {
    files_ = folder_.files("gw", issue({.names = "DNS:gw.example.org"}, &ca_), ca_);
  }

  std::string without_folder(std::string text) const {
    const std::string folder = folder_.path("");
    for (std::size_t at; (at = text.find(folder)) != std::string::npos;)
      text.erase(at, folder.size());
    return text;
  }

  std::string errors(CertificateUse use = CertificateUse::server) const {
    const auto loaded = load_credentials(files_, use);
    return loaded ? "" : without_folder(to_string(loaded.error()));
  }

  Settings settings() const {
    Settings settings;
    AcceptSettings accept;
    accept.security = Security::tls;
    accept.certificates = files_;
    settings.accept = {accept, accept};
    return settings;
  }

  CertificateFolder folder_;
  TestIssuer ca_ = make_ca("Our CA");
  CertificateFiles files_;
};

TEST_F(CertificateFilesTest, ThatFitTogetherAreAccepted) {
  EXPECT_EQ(errors(), "");
}

TEST_F(CertificateFilesTest, AreAllNamedWhenTheyAreMissing) {
  files_ = {.ca = folder_.path("a"), .certificate = folder_.path("b"), .key = folder_.path("c")};
  EXPECT_EQ(errors(),
            "a: cannot open the CA file: No such file or directory\n"
            "b: cannot open the certificate file: No such file or directory\n"
            "c: cannot open the key file: No such file or directory");
}

TEST_F(CertificateFilesTest, OfDifferentKeysAreNamedBoth) {
  folder_.write_key("gw.key", ca_);
  EXPECT_EQ(errors(), "gw.pem: the certificate does not belong to the private key in \"gw.key\"");
}

TEST_F(CertificateFilesTest, WithAKeyThatOthersCanReadAreRefused) {
  std::filesystem::permissions(files_.key, std::filesystem::perms(0640));
  EXPECT_EQ(errors(),
            "gw.key: the key file can be read or written by other users (mode 0640); run: chmod "
            "600 'gw.key'");
}

TEST_F(CertificateFilesTest, WithAnEncryptedKeyAreRefused) {
  folder_.write_key("gw.key", ca_, "secret");
  EXPECT_EQ(errors(),
            "gw.key: the private key is encrypted, expected one without a passphrase (openssl pkey "
            "-in FILE -out FILE removes it)");
}

TEST_F(CertificateFilesTest, WithoutWhatBelongsIntoThemAreRefused) {
  folder_.write_text("gw.ca", "# nothing\n");
  folder_.write_text("gw.pem", "");
  folder_.write_text("gw.key", "laptop:1234\n");
  EXPECT_EQ(errors(),
            "gw.ca: found no certificate, expected the certificates of the CAs to trust, in PEM\n"
            "gw.pem: found no certificate, expected a certificate in PEM, followed by those "
            "between it and a CA\n"
            "gw.key: found no private key, expected one in PEM");
}

TEST_F(CertificateFilesTest, WithADamagedCertificateAreRefused) {
  std::ofstream(files_.ca, std::ios::app)
      << "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  EXPECT_EQ(errors(),
            "gw.ca: certificate number 2 of the file is damaged, expected the certificates of the "
            "CAs to trust, in PEM");
}

TEST_F(CertificateFilesTest, OfTheOtherRoleAreRefused) {
  EXPECT_EQ(errors(CertificateUse::client),
            "gw.pem: the certificate of gw.example.org is not meant for clients, expected "
            "extendedKeyUsage clientAuth");
  files_ = folder_.files("gw", issue({.usage = ""}, &ca_), ca_);
  EXPECT_EQ(errors(),
            "gw.pem: the certificate of gw.example.org is not meant for servers, expected "
            "extendedKeyUsage serverAuth");
}

TEST_F(CertificateFilesTest, WithoutAnyNameAreRefused) {
  files_ = folder_.files("gw", issue({.common_name = "gw", .names = ""}, &ca_), ca_);
  EXPECT_EQ(errors(),
            "gw.pem: the certificate of \"CN = gw\" names no server, expected a DNS name or an IP "
            "address as its subject alternative name");
}

// --- the check of a configuration

TEST_F(CertificateFilesTest, AreCheckedOnceForAllThatUseThem) {
  EXPECT_TRUE(check_certificates(settings()).errors.empty());
  EXPECT_TRUE(check_certificates(settings()).warnings.empty());
  folder_.write_key("gw.key", ca_);
  EXPECT_EQ(check_certificates(settings()).errors.size(), 1U);
}

TEST_F(CertificateFilesTest, ThatExpireWithinTwoWeeksAreWarnedOf) {
  files_ = folder_.files("gw", issue({.until_seconds = 14 * kDay - 60}, &ca_), ca_);
  const CertificateReport report = check_certificates(settings());
  EXPECT_TRUE(report.errors.empty());
  ASSERT_EQ(report.warnings.size(), 1U);
  EXPECT_EQ(without_folder(to_string(report.warnings))
                .find("gw.pem: the certificate of gw.example.org "
                      "expires in 13 days, on 20"),
            0U)
      << to_string(report.warnings);
  files_ = folder_.files("gw", issue({.until_seconds = 14 * kDay + 60}, &ca_), ca_);
  EXPECT_TRUE(check_certificates(settings()).warnings.empty());
}

TEST_F(CertificateFilesTest, ThatHaveExpiredAreAnErrorOfTheCheck) {
  files_ =
      folder_.files("gw", issue({.from_seconds = -2 * kDay, .until_seconds = -kDay}, &ca_), ca_);
  const CertificateReport report = check_certificates(settings());
  ASSERT_EQ(report.errors.size(), 1U);
  EXPECT_EQ(without_folder(to_string(report.errors))
                .find("gw.pem: the certificate of gw.example.org expired on 20"),
            0U)
      << to_string(report.errors);
}

TEST_F(CertificateFilesTest, MayHoldACaThatIsOverBesideItsSuccessor) {
  const TestIssuer old = issue({.common_name = "Old CA",
                                .names = "",
                                .usage = "",
                                .from_seconds = -2 * kDay,
                                .until_seconds = -kDay,
                                .is_ca = true},
                               nullptr);
  folder_.write("gw.ca", old);
  const CertificateReport report = check_certificates(settings());
  EXPECT_TRUE(report.errors.empty()) << to_string(report.errors);
  ASSERT_EQ(report.warnings.size(), 1U);
  EXPECT_NE(to_string(report.warnings).find("\"CN = Old CA\" expired on"), std::string::npos);
}

}  // namespace
}  // namespace backedpipe
