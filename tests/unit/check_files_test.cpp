// What a check of the configuration says about the key files that it names.

#include "config/check_files.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "config/parse_settings.hpp"

namespace backedpipe {
namespace {

const std::string kHex(64, 'a');

// A folder with a client's and a server's configuration, each with a key file that the test writes.
class CheckFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "check_files_test.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write_keys(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }

  // The errors one a line, with the folder left out.
  std::string errors_of(const std::string& text) const {
    const std::string file = folder_ + "/test.json";
    const auto settings = parse_settings(text, file);
    if (!settings) return to_string(settings.error());
    std::string errors = to_string(check_key_files(*settings, file));
    for (std::size_t at; (at = errors.find(folder_ + "/")) != std::string::npos;)
      errors.erase(at, folder_.size() + 1);
    return errors;
  }

  std::string folder_;
};

std::string client(const std::string& security) {
  return R"({"peers": {"office": {"endpoints": ["gw:7700"], )" + security + R"(}}, "tunnels": [
    {"name": "ssh", "listen": "127.0.0.1:2222", "peer": "office", "service": "ssh"}]})";
}

std::string entry(int port, const std::string& allow) {
  return R"({"listen": "127.0.0.1:)" + std::to_string(port) +
         R"(", "key_file": "clients.keys", "allow": {)" + allow + "}}";
}

std::string server(const std::string& entries) {
  return R"({"accept": [)" + entries + R"(], "services": {"ssh": {"target": "127.0.0.1:22"}}})";
}

TEST_F(CheckFiles, AcceptsKeysThatFitTheConfiguration) {
  write_keys("office.key", "laptop:" + kHex);
  write_keys("clients.keys", "laptop:" + kHex + "\nnas:" + kHex);
  EXPECT_EQ(errors_of(client(R"("key_file": "office.key")")), "");
  EXPECT_EQ(errors_of(server(entry(7700, R"("laptop": ["ssh"], "*": ["*"])"))), "");
}

TEST_F(CheckFiles, AsksForNoKeysWhereNoneAreUsed) {
  EXPECT_EQ(errors_of(client(R"("security": "none")")), "");
  EXPECT_EQ(errors_of(server(R"({"listen": "127.0.0.1:7700", "security": "none"})")), "");
}

TEST_F(CheckFiles, ReportsAMissingFileForEitherRole) {
  const std::string problem = ": cannot open the key file: No such file or directory";
  EXPECT_EQ(errors_of(client(R"("key_file": "office.key")")), "office.key" + problem);
  EXPECT_EQ(errors_of(server(entry(7700, R"("laptop": ["ssh"])"))), "clients.keys" + problem);
}

TEST_F(CheckFiles, ReportsAFileThatOthersCanRead) {
  write_keys("clients.keys", "laptop:" + kHex, 0644);
  const std::string errors = errors_of(server(entry(7700, R"("laptop": ["ssh"])")));
  EXPECT_EQ(errors,
            "clients.keys: the key file can be read or written by other users (mode 0644); run: "
            "chmod 600 'clients.keys'");
}

TEST_F(CheckFiles, ReportsAFileThatHoldsNoKeys) {
  write_keys("clients.keys", "laptop:12\n");
  EXPECT_EQ(errors_of(server(entry(7700, R"("laptop": ["ssh"])"))),
            "clients.keys:1: found 2 characters after ':', expected a key of 64 hex digits");
}

TEST_F(CheckFiles, ReportsAClientsFileWithTheKeysOfSeveral) {
  write_keys("office.key", "laptop:" + kHex + "\nnas:" + kHex);
  EXPECT_NE(errors_of(client(R"("key_file": "office.key")")).find("office.key: found 2 keys"),
            std::string::npos);
}

TEST_F(CheckFiles, ReportsEveryAllowedIdentityWithoutAKey) {
  write_keys("clients.keys", "laptop:" + kHex);
  const std::string errors =
      errors_of(server(entry(7700, R"("laptop": ["ssh"])") + ", " +
                       entry(7701, R"("laptob": ["ssh"], "me@nas": ["ssh"], "*": ["ssh"])")));
  const std::string problem =
      ": found an identity without a key, expected one of those in \"clients.keys\"";
  EXPECT_EQ(errors, "test.json: /accept/1/allow/laptob" + problem +
                        "\ntest.json: /accept/1/allow/me@nas" + problem);
}

TEST_F(CheckFiles, ReportsAFileThatServesTwoEntriesOnce) {
  EXPECT_EQ(errors_of(server(entry(7700, R"("laptop": ["ssh"])") + ", " +
                             entry(7701, R"("laptop": ["ssh"])"))),
            "clients.keys: cannot open the key file: No such file or directory");
}

TEST_F(CheckFiles, NeverRepeatsAKey) {
  write_keys("clients.keys", kHex + ":laptop\nnas:" + kHex + "a\n");
  EXPECT_EQ(errors_of(server(entry(7700, R"("laptop": ["ssh"])"))).find("aaaa"), std::string::npos);
}

}  // namespace
}  // namespace backedpipe
