// SPDX-License-Identifier: Apache-2.0
#include "control/costs.hh"

#include "control/reply_reader.hh"

namespace sidecore::control {

namespace {

CostInfo read_cost(const Value& table, Problems& problems) {
    ReplyReader reader(table, "cost", problems);
    CostInfo cost;
    cost.name = reader.text("name");
    cost.value_ns = reader.number("value_ns");
    cost.low_ns = reader.number("low_ns");
    cost.high_ns = reader.number("high_ns");
    cost.how = reader.text("how");
    return cost;
}

std::vector<std::pair<std::string, double>> read_prices(const Value& table, Problems& problems) {
    std::vector<std::pair<std::string, double>> prices;
    ReplyReader reader(table, "sleep_price_ns", problems);
    for (const Value::Member& member : std::get<Value::Table>(table.data)) {
        prices.emplace_back(member.key, reader.number(member.key));
    }
    return prices;
}

}  // namespace

Json to_json(const CostsInfo& costs) {
    Json values = Json::array();
    for (const CostInfo& cost : costs.values) {
        values.push_back({{"name", cost.name},
                          {"value_ns", cost.value_ns},
                          {"low_ns", cost.low_ns},
                          {"high_ns", cost.high_ns},
                          {"how", cost.how}});
    }
    Json prices = Json::object();
    for (const auto& [prefer, price_ns] : costs.sleep_prices_ns) {
        prices[prefer] = price_ns;
    }
    return {{"values", std::move(values)}, {"sleep_price_ns", std::move(prices)}};
}

CostsInfo read_costs(const Value& table, Problems& problems) {
    ReplyReader reader(table, "costs", problems);
    CostsInfo costs;
    costs.values = reader.list("values", read_cost);
    costs.sleep_prices_ns = reader.table("sleep_price_ns", read_prices);
    return costs;
}

Result<CostsInfo> parse_costs(std::string_view body) {
    return parse_reply(body, read_costs);
}

}  // namespace sidecore::control
