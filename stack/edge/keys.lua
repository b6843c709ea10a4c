-- SPDX-License-Identifier: Apache-2.0
-- The issuer's public keys, read again by each worker every half minute and when a token names a key not seen before: at most one read a
-- second, whatever is sent. While the issuer is away the last good keys stay. Must never block a worker, nor fetch for a kid that was just
-- found to be none.

local cjson = require "cjson.safe"
local jwk = require "jwk"
local lru = require "resty.lrucache"
local semaphore = require "ngx.semaphore"

local REFRESH_S, AGAIN_S, WAIT_S, UNKNOWN_S = 30, 1, 3, 10
local TIMEOUT_MS, JWKS_MAX, KEYS_MAX, WAITING_MAX, UNKNOWN_MAX = 2000, 262144, 32, 256, 1024

local M = { version = 0 } -- grows with each change of the keys
local set, text_read, source
local began, ended, read_at = 0, 0, 0 -- reads, counted; when the last began
local is_asked, waiting = false, 0
local unknown, done

local function read_file(path)
  local file, err = io.open(path)
  if not file then return nil, err end
  local text = file:read(JWKS_MAX)
  file:close()
  return text
end

-- HTTP/1.0, so that the answer ends with the connection and is never chunked.
local function read_url(host, port, path)
  local socket = ngx.socket.tcp()
  socket:settimeout(TIMEOUT_MS)
  local is_good, err = socket:connect(host, port)
  if not is_good then return nil, err end
  socket:send("GET " .. path .. " HTTP/1.0\r\nHost: " .. host .. "\r\nAccept: application/json\r\n\r\n")
  local answer, failure, part = socket:receive(JWKS_MAX)
  socket:close()
  answer = answer or (failure == "closed" and part) or ""
  return answer:match("^HTTP/1%.[01] 200 .-\r\n\r\n(.*)$"), failure or "not 200"
end

local function import(text)
  local json = cjson.decode(text or "")
  local list = type(json) == "table" and type(json.keys) == "table" and json.keys or {}
  local keys, count = {}, 0
  for _, entry in ipairs(list) do
    local key = count < KEYS_MAX and jwk.import(entry)
    if key then keys[entry.kid], count = key, count + 1 end
  end
  return count > 0 and keys or nil
end

local function read()
  is_asked = false
  began, read_at = began + 1, ngx.now()
  local mine = began
  local text, err
  if source.path then text, err = read_file(source.path) else text, err = read_url(source.host, source.port, source.target) end
  local keys = text ~= text_read and import(text)
  if keys then
    set, text_read, M.version = keys, text, M.version + 1
    unknown:flush_all()
  elseif text ~= text_read then
    ngx.log(ngx.WARN, "the issuer's keys could not be read: ", err or "none in it")
  end
  M.is_fresh = text ~= nil
  ended = math.max(ended, mine)
  if waiting > 0 then done:post(waiting) end
end

local function ask()
  if is_asked then return end
  is_asked = ngx.timer.at(math.max(0, read_at + AGAIN_S - ngx.now()), read) and true or false
end

-- The key of this kid: { alg, key }; nil: there is none; "no_keys": none could ever be read. Waits for one read at most.
function M.find(kid)
  if set and set[kid] then return set[kid] end
  if unknown:get(kid) or waiting >= WAITING_MAX then return not set and "no_keys" or nil end
  local wanted, until_s = began + 1, ngx.now() + WAIT_S -- a read under way may have begun before the key was there
  waiting = waiting + 1
  while ended < wanted and ngx.now() < until_s do
    ask()
    done:wait(until_s - ngx.now())
  end
  waiting = waiting - 1
  if not set then return "no_keys" end
  if not set[kid] and ended >= wanted and M.is_fresh then unknown:set(kid, true, UNKNOWN_S) end
  return set[kid]
end

function M.configure(jwks)
  local host, port, target = jwks:match("^http://([%d.]+):(%d+)(/%S*)$")
  source = host and { host = host, port = tonumber(port), target = target } or { path = jwks }
  set, text_read = nil, nil
end

function M.start()
  unknown, done = assert(lru.new(UNKNOWN_MAX)), assert(semaphore.new())
  ask()
  assert(ngx.timer.every(REFRESH_S, ask))
end

return M
