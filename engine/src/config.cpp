#include "wavewright/config.hpp"

#include "wavewright/precision.hpp"

namespace wavewright {
namespace {

constexpr int kGreatest = 1 << 30;

[[noreturn]] void refuse(std::string_view name, const std::string& reason) {
    throw Error(std::string(name) + ": " + reason);
}

const Field& find(const Config& config, std::string_view name) {
    const auto found = config.fields.find(name);
    if (found == config.fields.end()) refuse(name, "missing from the configuration");
    return found->second;
}

template <class Type>
const Type& get(const Config& config, std::string_view name, const char* expected) {
    const Type* const value = std::get_if<Type>(&find(config, name));
    if (!value) refuse(name, std::string("of another type; give ") + expected);
    return *value;
}

void check_size(std::string_view name, std::int64_t size, int least = 1) {
    if (size < least || size > kGreatest)
        refuse(name, std::to_string(size) + "; give " + std::to_string(least) + " to " + std::to_string(kGreatest));
}

}  // namespace

int Config::size(std::string_view name) const {
    const std::int64_t size = get<std::int64_t>(*this, name, "a whole number");
    check_size(name, size);
    return static_cast<int>(size);
}

int Config::size(std::string_view name, int if_left_open) const {
    return fields.contains(name) ? size(name) : if_left_open;
}

int Config::index(std::string_view name) const {
    const std::int64_t index = get<std::int64_t>(*this, name, "a whole number");
    check_size(name, index, 0);
    return static_cast<int>(index);
}

const std::vector<int>& Config::sizes(std::string_view name) const {
    const auto& sizes = get<std::vector<int>>(*this, name, "whole numbers");
    if (sizes.empty()) refuse(name, "empty; give one size at least");
    for (const int size : sizes) check_size(name, size);
    return sizes;
}

double Config::number(std::string_view name) const {
    if (const auto* const whole = std::get_if<std::int64_t>(&find(*this, name))) return static_cast<double>(*whole);
    return get<double>(*this, name, "a number");
}

const std::vector<double>& Config::numbers(std::string_view name) const {
    return get<std::vector<double>>(*this, name, "numbers");
}

bool Config::flag(std::string_view name) const { return get<bool>(*this, name, "true or false"); }

const std::string& Config::text(std::string_view name) const { return get<std::string>(*this, name, "a text"); }

Precision precision_of(const std::string& name) {
    if (name == "float32") return Precision::float32;
    if (name == "bfloat16") return Precision::bfloat16;
    if (name == "int8") return Precision::int8;
    throw Error("precision: '" + name + "'; give float32, bfloat16 or int8");
}

}  // namespace wavewright
