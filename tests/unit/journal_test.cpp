// What the journal gets, at a real socket.
#include "daemon/journal.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include "net/events/event_log.hpp"

namespace backedpipe {
namespace {

using Fields = std::map<std::string, std::string>;

// Reads an entry as the protocol says.
Fields parse(const std::string& entry) {
  Fields fields;
  for (std::size_t at = 0; at < entry.size();) {
    const std::size_t name_end = entry.find_first_of("=\n", at);
    const std::string name = entry.substr(at, name_end - at);
    std::size_t begin = name_end + 1;
    std::size_t size = entry.find('\n', begin) - begin;
    if (entry[name_end] == '\n') {
      size = 0;
      for (int i = 7; i >= 0; --i)
        size = size << 8 | static_cast<std::uint8_t>(entry[begin + static_cast<std::size_t>(i)]);
      begin += 8;
    }
    fields[name] = entry.substr(begin, size);
    EXPECT_EQ(entry.at(begin + size), '\n');
    at = begin + size + 1;
  }
  return fields;
}

// Where the journal takes entries.
class Journal {
 public:
  explicit Journal(const std::string& path) : path_(path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Journal() {
    ::close(socket_);
    std::filesystem::remove(path_);
  }

  // The next entry, if one has come.
  std::optional<Fields> next() const {
    std::string buffer(1 << 20, '\0');
    const ssize_t size = ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0) return std::nullopt;
    buffer.resize(static_cast<std::size_t>(size));
    return parse(buffer);
  }

 private:
  std::string path_;
  int socket_ = -1;
};

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    auto otherwise = std::make_shared<spdlog::sinks::ostream_sink_mt>(elsewhere);
    otherwise->set_formatter(std::make_unique<spdlog::pattern_formatter>("elsewhere: %v"));
    auto sink = make_journal_sink(path, otherwise);
    sink->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%v", spdlog::pattern_time_type::local, std::string()));
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", std::move(sink)));
  }

  const std::string path = testing::TempDir() + "backedpipe-journal-" + std::to_string(::getpid());
  std::ostringstream elsewhere;
};

TEST_F(JournalTest, ALineIsAnEntryWithItsPriority) {
  const Journal journal(path);
  spdlog::info("one");
  spdlog::warn("two");
  EXPECT_EQ(journal.next(),
            (Fields{{"MESSAGE", "one"}, {"PRIORITY", "6"}, {"SYSLOG_IDENTIFIER", "backedpipd"}}));
  EXPECT_EQ(journal.next(),
            (Fields{{"MESSAGE", "two"}, {"PRIORITY", "4"}, {"SYSLOG_IDENTIFIER", "backedpipd"}}));
  EXPECT_EQ(elsewhere.str(), "");
}

TEST_F(JournalTest, AnEventSaysWhatItIsAbout) {
  const Journal journal(path);
  Event event;
  event.kind = Event::Kind::detach;
  event.session = SessionId{};
  event.session->bytes.back() = 0xab;
  event.generation = 3;
  event.tunnel = "ssh";
  event.service = "shell";
  event.peer = "office";
  event.identity = "laptop";
  event.reason = "link_lost";
  log_event(event);
  Fields entry = journal.next().value();
  EXPECT_EQ(entry["MESSAGE"], describe(event));
  for (const char* name : {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"})
    entry.erase(name);
  EXPECT_EQ(entry, (Fields{{"BACKEDPIPE_EVENT", "detach"},
                           {"BACKEDPIPE_SESSION", "000000000000000000000000000000ab"},
                           {"BACKEDPIPE_GENERATION", "3"},
                           {"BACKEDPIPE_TUNNEL", "ssh"},
                           {"BACKEDPIPE_SERVICE", "shell"},
                           {"BACKEDPIPE_PEER", "office"},
                           {"BACKEDPIPE_IDENTITY", "laptop"},
                           {"BACKEDPIPE_REASON", "link_lost"}}));
}

TEST_F(JournalTest, LinesAreAboutWhatWasSaidLastUntilItIsOver) {
  const Journal journal(path);
  {
    const LogContext peer({.peer = "office"});
    {
      const LogContext other({.peer = "home"});
      spdlog::info("inner");
    }
    spdlog::info("outer");
  }
  spdlog::info("after");
  EXPECT_EQ(journal.next().value()["BACKEDPIPE_PEER"], "home");
  EXPECT_EQ(journal.next().value()["BACKEDPIPE_PEER"], "office");
  EXPECT_EQ(journal.next().value().count("BACKEDPIPE_PEER"), 0U);
}

TEST_F(JournalTest, ALineBreakInAFieldForgesNoOtherField) {
  const Journal journal(path);
  const std::string identity = "evil\nPRIORITY=0\n" + std::string(300, 'x');
  {
    const LogContext about({.identity = identity, .reason = "expired"});
    spdlog::info("line");
  }
  Fields entry = journal.next().value();
  EXPECT_EQ(entry["BACKEDPIPE_IDENTITY"], identity);
  EXPECT_EQ(entry["BACKEDPIPE_REASON"], "expired");
  EXPECT_EQ(entry["PRIORITY"], "6");
}

TEST_F(JournalTest, WhatIsTooLargeGoesElsewhere) {
  const Journal journal(path);
  const std::string large(1 << 20, 'x');
  spdlog::info(large);
  spdlog::info("next");
  EXPECT_EQ(elsewhere.str(), "elsewhere: " + large + "\n");
  EXPECT_EQ(journal.next().value()["MESSAGE"], "next");
}

TEST_F(JournalTest, LinesGoElsewhereUntilTheJournalIsThereAgain) {
  spdlog::info("before");
  EXPECT_EQ(elsewhere.str(), "elsewhere: before\n");
  for (const char* line : {"first", "second"}) {
    const Journal journal(path);
    spdlog::info(line);
    EXPECT_EQ(journal.next().value()["MESSAGE"], line);
  }
  EXPECT_EQ(elsewhere.str(), "elsewhere: before\n");
}

TEST_F(JournalTest, AStuckJournalDoesNotHoldUpTheDaemon) {
  const Journal journal(path);
  const std::string line(1000, 'x');
  // Nobody reads: its queue is full after some hundred lines at most.
  for (int i = 0; i < 2000 && elsewhere.str().empty(); ++i)
    spdlog::info(line);
  EXPECT_EQ(elsewhere.str(), "elsewhere: " + line + "\n");
}

}  // namespace
}  // namespace backedpipe
