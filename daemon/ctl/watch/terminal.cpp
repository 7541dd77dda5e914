#include "daemon/ctl/watch/terminal.hpp"

#include <clocale>
#include <cstdlib>
#include <cstring>
#include <langinfo.h>
#include <poll.h>
#include <stdexcept>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/ctl/text.hpp"

// Functions instead of macros, whose short names would collide with others. term.h still has some.
#define NCURSES_NOMACROS
#include <curses.h>
#include <term.h>

namespace backedpipe::ctl {
namespace {

constexpr short kGreen = 1;
constexpr short kYellow = 2;
constexpr short kRed = 3;

// One ASCII character per column, for a terminal without UTF-8.
std::string to_ascii(std::string_view text) {
  static constexpr std::string_view kEllipsis = "\u2026";
  std::string out;
  while (!text.empty()) {
    std::size_t length = 1;
    while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U)
      ++length;
    const std::string_view character = text.substr(0, length);
    if (length == 1) {
      out += character;
    } else if (character == kEllipsis) {
      out += '~';
    } else {
      out.append(display_width(character), '?');
    }
    text.remove_prefix(length);
  }
  return out;
}

// Important styles differ from plain by more than their colour.
attr_t attributes(Style style, bool colour) {
  const auto coloured = [colour](short pair, attr_t otherwise) {
    return colour ? static_cast<attr_t>(COLOR_PAIR(pair)) : otherwise;
  };
  switch (style) {
    case Style::plain:
      return A_NORMAL;
    case Style::strong:
      return A_BOLD;
    case Style::faint:
      return A_DIM;
    case Style::good:
      return coloured(kGreen, A_NORMAL);
    case Style::doubtful:
      return A_BOLD | coloured(kYellow, A_NORMAL);
    case Style::bad:
      return A_BOLD | coloured(kRed, A_NORMAL);
    case Style::title:
    case Style::selected:
      return A_REVERSE;
    case Style::sorted_title:
      return A_REVERSE | A_BOLD;
  }
  return A_NORMAL;
}

bool wants_colour() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

}  // namespace

std::optional<std::string> why_no_screen() {
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) {
    return "'watch' needs a terminal; for a script there are 'sessions', 'status' and 'events', "
           "with --json";
  }
  const char* type = std::getenv("TERM");
  const std::string name = type == nullptr ? "" : type;
  int found = 0;
  if (name.empty() || ::setupterm(name.c_str(), STDOUT_FILENO, &found) != OK) {
    return "'watch' does not know the terminal '" + visible(name) +
           "': set TERM to what it is, or install its description (package ncurses-term)";
  }
  // Null when the terminal lacks it; -1 when the name is not that of a string capability.
  const char* place_cursor = ::tigetstr("cup");
  if (place_cursor == nullptr || std::strlen(place_cursor) == 0) {
    return "'watch' cannot draw on a terminal of type '" + visible(name) +
           "', which has no way to place the cursor";
  }
  return std::nullopt;
}

Terminal::Terminal() : screen_(nullptr), utf8_(false) {
  // Only for the characters; the format of numbers stays as it is.
  std::setlocale(LC_CTYPE, "");
  utf8_ = std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0;
  screen_ = ::newterm(nullptr, stdout, stdin);
  if (screen_ == nullptr) throw std::runtime_error("the terminal cannot be used as a screen");
  ::set_term(screen_);
  ::cbreak();
  ::noecho();
  ::nonl();
  ::curs_set(0);
  ::keypad(stdscr, TRUE);
  ::nodelay(stdscr, TRUE);
  ::set_escdelay(25);
  if (wants_colour() && ::has_colors() && ::start_color() == OK) {
    colour_ = true;
    const short background = ::use_default_colors() == OK ? -1 : COLOR_BLACK;
    ::init_pair(kGreen, COLOR_GREEN, background);
    ::init_pair(kYellow, COLOR_YELLOW, background);
    ::init_pair(kRed, COLOR_RED, background);
  }
}

Terminal::~Terminal() {
  ::endwin();
  ::delscreen(screen_);
}

ScreenSize Terminal::size() const {
  return {static_cast<std::size_t>(::getmaxx(stdscr)), static_cast<std::size_t>(::getmaxy(stdscr))};
}

void Terminal::adapt() {
  winsize now{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) != 0 || now.ws_row == 0 || now.ws_col == 0) return;
  ::resizeterm(now.ws_row, now.ws_col);
  // Redraw everything: terminals differ in what they do to their content on a change of size.
  ::clearok(curscr, TRUE);
}

void Terminal::draw(const std::vector<Line>& picture) {
  ::werase(stdscr);
  for (std::size_t row = 0; row < picture.size(); ++row) {
    for (const Span& span : picture[row]) {
      ::wattrset(stdscr, static_cast<int>(attributes(span.style, colour_)));
      const std::string text = utf8_ ? span.text : to_ascii(span.text);
      // Reports an error in the last cell of the screen although it has drawn it.
      ::mvwaddstr(stdscr, static_cast<int>(row), static_cast<int>(span.column), text.c_str());
    }
  }
  ::wrefresh(stdscr);
}

std::optional<Terminal::Key> Terminal::read_key() {
  using Kind = Key::Kind;
  using Move = WatchModel::Move;
  const int code = ::wgetch(stdscr);
  if (code == ERR) return std::nullopt;
  switch (code) {
    case KEY_UP:
      return Key{Kind::move, 0, Move::up};
    case KEY_DOWN:
      return Key{Kind::move, 0, Move::down};
    case KEY_PPAGE:
      return Key{Kind::move, 0, Move::page_up};
    case KEY_NPAGE:
      return Key{Kind::move, 0, Move::page_down};
    case KEY_HOME:
      return Key{Kind::move, 0, Move::first};
    case KEY_END:
      return Key{Kind::move, 0, Move::last};
    case 'q':
    case 'Q':
      return Key{Kind::quit};
    default:
      break;
  }
  if (code >= 'a' && code <= 'z') return Key{Kind::letter, static_cast<char>(code)};
  return Key{};
}

bool Terminal::hung_up() const {
  pollfd entry{STDIN_FILENO, POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace backedpipe::ctl
