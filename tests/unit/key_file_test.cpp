// Files of pre-shared keys: the format, and who may read them.

#include "config/key_file.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace backedpipe {
namespace {

const std::string kHex = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

std::string errors_of(const Checked<KeyFile, ConfigErrors>& result) {
  return result ? "" : to_string(result.error());
}

TEST(KeyFile, ReadsKeysByIdentity) {
  const auto keys = parse_key_file("laptop:" + kHex + "\nme@nas.x_-1:" + std::string(64, 'f'), "k");
  ASSERT_TRUE(keys) << errors_of(keys);
  ASSERT_EQ(keys->entries.size(), 2U);
  const PskKey* key = keys->find("laptop");
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(key->bytes[0], 0x00);
  EXPECT_EQ(key->bytes[1], 0x11);
  EXPECT_EQ(key->bytes[15], 0xFF);
  EXPECT_EQ(key->bytes[26], 0xAA);
  EXPECT_EQ(keys->find("me@nas.x_-1")->bytes[31], 0xFF);
  EXPECT_EQ(keys->find("other"), nullptr);
  EXPECT_EQ(keys->find(""), nullptr);
}

TEST(KeyFile, SkipsCommentsBlankLinesAndCarriageReturns) {
  const auto keys =
      parse_key_file("# comment\r\n; another:one\r\n\r\n  \t\n laptop:" + kHex + " \r\n\n", "k");
  ASSERT_TRUE(keys) << errors_of(keys);
  EXPECT_EQ(keys->entries.size(), 1U);
}

TEST(KeyFile, ReadsBackWhatItFormats) {
  PskKey key;
  for (std::size_t i = 0; i < key.bytes.size(); ++i)
    key.bytes[i] = static_cast<std::uint8_t>(i * 9);
  std::string line = format_key_line("laptop", key);
  EXPECT_EQ(line.size(), 7U + 64U);
  const auto keys = parse_key_file(line, "k");
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->find("laptop")->bytes, key.bytes);
  wipe(line);
  EXPECT_TRUE(line.empty());
}

TEST(KeyFile, NamesTheLineOfEveryError) {
  const auto keys = parse_key_file("# x\nlaptop\n:" + kHex + "\nok:" + kHex + "\na:12\nok:" + kHex +
                                       "\nb:" + std::string(64, 'g'),
                                   "k");
  EXPECT_EQ(
      errors_of(keys),
      "k:2: found a line without ':', expected identity:hexkey\n"
      "k:3: found a wrong identity before ':', expected an identity: 1 to 64 letters, digits, "
      "'.', '_', '-' or '@'\n"
      "k:5: found 2 characters after ':', expected a key of 64 hex digits\n"
      "k:6: found the identity of line 4 again, expected every identity once\n"
      "k:7: found a character that is not a hex digit after ':', expected a key of 64 hex "
      "digits");
}

TEST(KeyFile, NeverPrintsWhatCouldBeAKey) {
  const std::string secret(64, 'd');
  for (const std::string& line :
       {secret, secret + ":laptop", "laptop:" + secret + "d", "lap top:" + secret, "a:b:" + secret,
        "a:" + secret + ":b", "a:x" + secret.substr(1),
        secret + ":" + secret + "\n" + secret + ":" + secret}) {
    const std::string errors = errors_of(parse_key_file(line, "k"));
    EXPECT_FALSE(errors.empty());
    EXPECT_EQ(errors.find("ddd"), std::string::npos) << errors;
  }
}

TEST(KeyFile, RefusesAFileWithoutKeys) {
  EXPECT_EQ(errors_of(parse_key_file("", "k")),
            "k: found no key, expected at least one line identity:hexkey");
  EXPECT_NE(errors_of(parse_key_file("# only comments\n", "k")), "");
}

TEST(KeyFile, SurvivesHostileText) {
  EXPECT_FALSE(parse_key_file(std::string(1000, '\0'), "k"));
  EXPECT_FALSE(parse_key_file(std::string(1'000'000, ':'), "k"));
  EXPECT_FALSE(parse_key_file(std::string("a\0b:", 4) + kHex, "k"));
  EXPECT_FALSE(parse_key_file(std::string(65, 'i') + ":" + kHex, "k"));
  EXPECT_TRUE(parse_key_file(std::string(64, 'i') + ":" + kHex, "k"));
  std::string lines;
  for (int i = 0; i < 100'000; ++i)
    lines += "x\n";
  const auto many = parse_key_file(lines, "k");
  ASSERT_FALSE(many);
  EXPECT_LE(many.error().size(), 100U);
}

TEST(KeyFile, GivesAClientItsOneKey) {
  const auto one = parse_key_file("laptop:" + kHex, "k");
  ASSERT_TRUE(one);
  const auto key = single_key(*one, "k");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->identity, "laptop");
  const auto two = parse_key_file("a:" + kHex + "\nb:" + kHex, "k");
  ASSERT_TRUE(two);
  const auto none = single_key(*two, "k");
  ASSERT_FALSE(none);
  EXPECT_EQ(to_string(none.error()),
            "k: found 2 keys, expected exactly one: a client's key file says who the client is");
}

TEST(PskKey, WipesItselfWhenItGoes) {
  alignas(PskKey) unsigned char memory[sizeof(PskKey)];
  auto* key = new (memory) PskKey;
  key->bytes.fill(0xAB);
  const volatile unsigned char* bytes = memory;
  ASSERT_EQ(bytes[0], 0xAB);
  key->~PskKey();
  for (std::size_t i = 0; i < sizeof(PskKey); ++i)
    ASSERT_EQ(bytes[i], 0);
}

// A folder of its own for each test.
class KeyFileOnDisk : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "key_file_test.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/client's.key";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& text, mode_t mode) {
    std::ofstream(path_) << text;
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
  }

  std::string folder_;
  std::string path_;
};

TEST_F(KeyFileOnDisk, IsReadWhenOnlyItsOwnerHasAccess) {
  for (const mode_t mode : {0600U, 0400U}) {
    std::filesystem::remove(path_);
    write("laptop:" + kHex + "\n", mode);
    const auto keys = load_key_file(path_);
    ASSERT_TRUE(keys) << errors_of(keys);
    EXPECT_NE(keys->find("laptop"), nullptr);
    const auto key = load_single_key(path_);
    ASSERT_TRUE(key);
    EXPECT_EQ(key->identity, "laptop");
  }
}

TEST_F(KeyFileOnDisk, IsRefusedWhenOthersHaveAccess) {
  for (const mode_t mode : {0640U, 0620U, 0604U, 0602U, 0644U, 0666U}) {
    write("laptop:" + kHex + "\n", mode);
    const std::string errors = errors_of(load_key_file(path_));
    EXPECT_NE(errors.find("can be read or written by other users"), std::string::npos) << errors;
    EXPECT_NE(errors.find("run: chmod 600 '" + folder_ + "/client'\\''s.key'"), std::string::npos)
        << errors;
  }
  const auto key = load_single_key(path_);
  ASSERT_FALSE(key);
  EXPECT_NE(to_string(key.error()).find("(mode 0666)"), std::string::npos);
}

TEST_F(KeyFileOnDisk, IsRefusedWhenItBelongsToAnotherUser) {
  write("laptop:" + kHex + "\n", 0600);
  if (::chown(path_.c_str(), 12345, static_cast<gid_t>(-1)) != 0) {
    GTEST_SKIP() << "only root can give files away";
  }
  EXPECT_NE(errors_of(load_key_file(path_)).find("belongs to user id 12345"), std::string::npos);
}

TEST_F(KeyFileOnDisk, IsRefusedWhenItIsNotAFile) {
  EXPECT_NE(errors_of(load_key_file(folder_)).find("not a regular file"), std::string::npos);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_NE(errors_of(load_key_file(path_)).find("not a regular file"), std::string::npos);
  EXPECT_EQ(errors_of(load_key_file("/nonexistent/k")),
            "/nonexistent/k: cannot open the key file: No such file or directory");
}

TEST_F(KeyFileOnDisk, IsRefusedWhenItIsTooLarge) {
  write(std::string(1024 * 1024 + 1, '\n'), 0600);
  EXPECT_NE(errors_of(load_key_file(path_)).find("too large"), std::string::npos);
}

}  // namespace
}  // namespace backedpipe
