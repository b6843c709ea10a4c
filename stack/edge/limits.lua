-- SPDX-License-Identifier: Apache-2.0
-- Counts requests in windows of the clock (a second, a minute) for clients and accounts, in memory that all workers share, as Kong's
-- rate-limiting does. Must never grow: the memory is bounded, and what was not seen longest makes room.

local counters = ngx.shared.limits
local floor, max = math.floor, math.max

local M = {}
local classes = {} -- class -> { client = { { span, limit }, ... }, account = ... }
local SPANS = { second = 1, minute = 60 }

local function windows(limits)
  local list = {}
  for name, limit in pairs(limits or {}) do list[#list + 1] = { span = assert(SPANS[name], name), limit = limit } end
  table.sort(list, function(a, b) return a.span < b.span end)
  return list
end

-- Seconds to wait when one of the windows is full; nil: go on.
local function take(list, prefix, who)
  local now = ngx.time()
  local wait_s
  for i = 1, #list do
    local one = list[i]
    local window = floor(now / one.span)
    if window ~= one.window then one.window, one.key = window, prefix .. one.span .. ":" .. window .. ":" end
    local count = counters:incr(one.key .. who, 1, 0, one.span + 1)
    if count and count > one.limit then wait_s = max(wait_s or 0, (window + 1) * one.span - now) end
  end
  return wait_s
end

-- An IPv6 network of 64 bits is one client: whoever has one has all of its addresses.
function M.take_client(class, address)
  local list = classes[class].client
  if #list == 0 then return nil end
  return take(list, class .. ":c:", #address == 16 and address:sub(1, 8) or address)
end

function M.take_account(class, account)
  local list = classes[class].account
  if #list == 0 then return nil end
  return take(list, class .. ":a:", account)
end

-- wishes: "production order.account.second=5 read.client.minute=100": words with spaces between; the last one says it. Names and numbers
-- only, so that a slip ends the start and not the limit.
function M.configure(limits, wishes)
  local is_production = (" " .. wishes .. " "):find(" production ", 1, true)
  for class, row in pairs(limits) do
    local base = not is_production and row["local"] or row
    classes[class] = { client = base.client or {}, account = base.account or {} }
  end
  for word in wishes:gmatch("%S+") do
    local class, who, span, number = word:match("^([%l-]+)%.(%l+)%.(%l+)=(%d+)$")
    if class then
      assert(classes[class] and classes[class][who] and SPANS[span], "GATEWAY_LIMITS: unknown: " .. word)
      classes[class][who][span] = tonumber(number)
    else
      assert(word == "production", "GATEWAY_LIMITS: not understood: " .. word)
    end
  end
  for _, row in pairs(classes) do
    row.client, row.account = windows(row.client), windows(row.account)
  end
end

return M
