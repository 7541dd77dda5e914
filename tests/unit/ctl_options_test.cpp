// The command line of backedpipctl.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/ctl/options.hpp"

namespace backedpipe::ctl {
namespace {

using Words = std::vector<std::string>;

// What is wrong with the arguments; empty when nothing is.
std::string problem(const Words& arguments) {
  const auto options = parse_options(arguments);
  return options ? "" : options.error();
}

TEST(Options, KnowEveryCommand) {
  EXPECT_EQ(parse_options({"status"})->command, Command::status);
  EXPECT_EQ(parse_options({"sessions"})->command, Command::sessions);
  EXPECT_EQ(parse_options({"session", "abcd"})->command, Command::session);
  EXPECT_EQ(parse_options({"reconnect"})->command, Command::reconnect);
  EXPECT_EQ(parse_options({"close", "abcd"})->command, Command::close);
  EXPECT_EQ(parse_options({"stop"})->command, Command::stop);
  EXPECT_EQ(parse_options({"upgrade"})->command, Command::upgrade);
  EXPECT_EQ(parse_options({"keygen", "laptop"})->command, Command::keygen);
  EXPECT_EQ(parse_options({"check", "file"})->command, Command::check);
  EXPECT_EQ(parse_options({"--help"})->command, Command::help);
  EXPECT_EQ(parse_options({"-h"})->command, Command::help);
  EXPECT_EQ(parse_options({"--version"})->command, Command::version);
}

TEST(Options, MayStandBeforeAndAfterTheCommand) {
  for (const Words& arguments : {Words{"--socket", "/s", "--json", "session", "abcd"},
                                 Words{"session", "abcd", "--json", "--socket=/s"},
                                 Words{"session", "--json", "--socket", "/s", "--", "abcd"}}) {
    const auto options = parse_options(arguments);
    ASSERT_TRUE(options) << options.error();
    EXPECT_EQ(options->socket, "/s");
    EXPECT_TRUE(options->json);
    EXPECT_EQ(options->argument, "abcd");
  }
  EXPECT_EQ(parse_options({"status"})->socket, std::nullopt);
  EXPECT_FALSE(parse_options({"status"})->json);
}

TEST(Options, AskForHelpWhateverElseIsThere) {
  EXPECT_EQ(parse_options({"session", "--help"})->command, Command::help);
  EXPECT_EQ(parse_options({"nonsense", "-h"})->command, Command::help);
}

TEST(Options, OfReconnectNameOneSessionOrAll) {
  EXPECT_EQ(parse_options({"reconnect", "abcd"})->argument, "abcd");
  EXPECT_EQ(parse_options({"reconnect", "--all"})->argument, "");
  EXPECT_EQ(problem({"reconnect", "abcd", "--all"}), "'reconnect' takes either an ID or --all");
  EXPECT_EQ(problem({"status", "--all"}), "--all belongs to 'reconnect'");
}

TEST(Options, OfSessionsSayWhichAndInWhichOrder) {
  const auto options = parse_options({"sessions", "--tunnel", "t", "--service=s", "--peer", "p",
                                      "--state", "connected", "--sort", "rtt", "--reverse"});
  ASSERT_TRUE(options) << options.error();
  EXPECT_EQ(options->filter.tunnel, "t");
  EXPECT_EQ(options->filter.service, "s");
  EXPECT_EQ(options->filter.peer, "p");
  EXPECT_EQ(options->filter.state, "connected");
  EXPECT_EQ(options->sort, "rtt");
  EXPECT_TRUE(options->reverse);
  EXPECT_EQ(problem({"status", "--sort", "rtt"}), "--sort belongs to 'sessions' and 'watch'");
  EXPECT_EQ(problem({"status", "--reverse"}), "--reverse belongs to 'sessions' and 'watch'");
  EXPECT_EQ(problem({"sessions", "--peer="}).empty(), false);
  EXPECT_EQ(problem({"sessions", "--state", "up"}),
            "found 'up' after --state, expected one of connected, disconnected, reconnecting");
  EXPECT_EQ(problem({"sessions", "--sort", "size"}),
            "found 'size' after --sort, expected one of age, since, id, state, tunnel, service, "
            "peer, identity, generation, in, out, unacked, buffered, rtt, reconnects");
}

TEST(Options, OfWatchSayHowOftenAndWhat) {
  const auto options =
      parse_options({"watch", "--interval", "0.25", "--state", "connected", "--sort=in"});
  ASSERT_TRUE(options) << options.error();
  EXPECT_EQ(options->command, Command::watch);
  EXPECT_EQ(options->interval, std::chrono::milliseconds(250));
  EXPECT_EQ(options->filter.state, "connected");
  EXPECT_EQ(options->sort, "in");
  EXPECT_EQ(parse_options({"watch"})->interval, std::chrono::seconds(1));
  EXPECT_EQ(parse_options({"watch", "--interval=3600"})->interval, std::chrono::hours(1));
  EXPECT_EQ(problem({"sessions", "--interval", "1"}), "--interval belongs to 'watch'");
  for (const char* seconds : {"0", "0.09", "3601", "-1", "1s", "1e3", "nan", "inf", " 1"}) {
    EXPECT_EQ(problem({"watch", std::string("--interval=") + seconds}),
              "found '" + std::string(seconds) +
                  "' after --interval, expected a number of seconds from 0.1 to 3600");
  }
  EXPECT_EQ(problem({"watch", "--json"}),
            "'watch' is for people: for --json there are 'sessions' and 'events'");
}

TEST(Options, OfLogLevelNameOneOrNone) {
  EXPECT_EQ(parse_options({"log-level"})->argument, "");
  EXPECT_EQ(parse_options({"log-level", "debug"})->argument, "debug");
  EXPECT_EQ(problem({"log-level", "loud"}),
            "found 'loud', expected one of trace, debug, info, warning, error, off");
}

TEST(Options, ThatAreWrongAreExplained) {
  EXPECT_EQ(problem({}), "a command is missing");
  EXPECT_EQ(problem({"--json"}), "a command is missing");
  EXPECT_EQ(problem({"stauts"}), "there is no command 'stauts'; did you mean 'status'?");
  EXPECT_EQ(problem({"nonsense"}),
            "there is no command 'nonsense'; the commands are: status, sessions, session, "
            "events, watch, reconnect, close, reload, drain, stop, upgrade, log-level, keygen, "
            "check");
  EXPECT_EQ(problem({"status", "now"}), "unexpected 'now' after 'status'");
  EXPECT_EQ(problem({"close", "abcd", "ef01"}), "unexpected 'ef01' after 'close'");
  EXPECT_EQ(problem({"session"}), "'session' needs the ID of a session, as 'sessions' lists them");
  EXPECT_EQ(problem({"close"}), "'close' needs the ID of a session, as 'sessions' lists them");
  EXPECT_EQ(problem({"keygen"}),
            "'keygen' needs an IDENTITY: the name of the client that will use the key");
  EXPECT_EQ(problem({"check"}), "'check' needs the FILE to check");
  EXPECT_EQ(problem({"check", ""}), "expected the name of a file");
  EXPECT_EQ(problem({"--socket=", "status"}).empty(), false);
  EXPECT_NE(problem({"--socket"}), "");
  EXPECT_NE(problem({"--nonsense", "status"}).find("--nonsense"), std::string::npos);
  EXPECT_NE(problem({"--json=yes", "status"}), "");
  EXPECT_NE(problem({"--soc", "/s", "status"}), "");  // no abbreviations
}

TEST(Options, RefuseWhatIsNoId) {
  for (const char* id : {"", "abc", "abcg", "-abcd", "abcd abcd"})
    EXPECT_NE(problem({"session", "--", id}), "") << id;
  EXPECT_NE(problem({"close", std::string(33, 'a')}), "");
  EXPECT_EQ(problem({"close", std::string(32, 'A')}), "");
  EXPECT_EQ(problem({"session", "xyz"}),
            "'xyz' is not a session's id: expected 32 hex digits, or at least the first 4");
}

TEST(Options, RefuseWhatIsNoIdentity) {
  for (const char* identity : {"", "not:allowed", "a b", "é", "a\nb"})
    EXPECT_NE(problem({"keygen", identity}), "") << identity;
  EXPECT_EQ(problem({"keygen", "me@nas.home"}), "");
}

TEST(Options, AreQuotedHarmlessly) {
  for (const Words& arguments : {Words{"\x1b[2J"}, Words{"session", "\x1b[2J"},
                                 Words{"keygen", "\x1b[2J"}, Words{"--\x1b[2J"}}) {
    EXPECT_NE(problem(arguments), "");
    EXPECT_EQ(problem(arguments).find('\x1b'), std::string::npos);
  }
}

TEST(Help, NamesEveryCommandAndOptionOnLinesThatFit) {
  const std::string help = help_text();
  for (const char* word :
       {"status", "sessions", "session ID", "watch", "--interval SECONDS", "reconnect [ID]",
        "close ID", "keygen IDENTITY", "check FILE", "--socket PATH", "--json", "--all", "--help",
        "--version", "Exit status"})
    EXPECT_NE(help.find(word), std::string::npos) << word;
  std::size_t begin = 0;
  for (std::size_t end; (end = help.find('\n', begin)) != std::string::npos; begin = end + 1)
    EXPECT_LE(end - begin, 90U) << help.substr(begin, end - begin);
  EXPECT_EQ(begin, help.size());
}

TEST(SocketPath, IsTheEnvironmentsOrTheUsersOrTheSystems) {
  std::string folder = testing::TempDir() + "ctl_options_test.XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string own = folder + "/backedpipd/control.sock";
  EXPECT_EQ(default_socket_path("", ""), "/run/backedpipd/control.sock");
  EXPECT_EQ(default_socket_path("", folder), "/run/backedpipd/control.sock");
  std::filesystem::create_directory(folder + "/backedpipd");
  std::ofstream(own) << "";
  EXPECT_EQ(default_socket_path("", folder), own);
  EXPECT_EQ(default_socket_path("/elsewhere", folder), "/elsewhere");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace backedpipe::ctl
