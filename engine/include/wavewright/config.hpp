#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace wavewright {

// A caller's mistake. The message is one line that names the field and its value.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Field = std::variant<bool, std::int64_t, double, std::string, std::vector<int>, std::vector<double>>;

// Which model an engine plays. The fields have the names of the model's Python configuration, and may hold more than
// the model reads. A field that the configuration leaves open (None in Python) is left out.
struct Config {
    std::string model;
    std::map<std::string, Field, std::less<>> fields;

    // Each getter throws Error, which names the field, if the field is missing or of another type.
    int size(std::string_view name) const;  // at least 1
    int size(std::string_view name, int if_left_open) const;
    int index(std::string_view name) const;                      // at least 0
    const std::vector<int>& sizes(std::string_view name) const;  // at least one size, and each at least 1
    double number(std::string_view name) const;                  // a whole number will do
    const std::vector<double>& numbers(std::string_view name) const;
    bool flag(std::string_view name) const;
    const std::string& text(std::string_view name) const;
};

}  // namespace wavewright
