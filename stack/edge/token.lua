-- SPDX-License-Identifier: Apache-2.0
-- Checks an access token (RFC 9068) as each service does after it: form, algorithm, type, key, signature, issuer, audience, times,
-- subject. A good one is remembered until it runs out or the keys change. Must never let the token choose its algorithm or key, remember a
-- bad one, or be the only one who checks: scopes and ownership are the services'.

local cjson = require("cjson.safe").new()
local digest = require "openssl.digest"
local jwk = require "jwk"
local keys = require "keys"
local lru = require "resty.lrucache"

cjson.decode_max_depth(16)
cjson.decode_invalid_numbers(false)

local LEEWAY_S, REMEMBERED_MAX, TOKEN_MAX = 60, 4096, 8192
local DETAILS = {
  malformed = "토큰 형식이 올바르지 않습니다",
  algorithm = "받지 않는 서명 알고리즘입니다",
  unknown_key = "알 수 없는 키로 서명되었습니다",
  signature = "서명이 맞지 않습니다",
  expired = "만료된 토큰입니다",
  not_yet_valid = "아직 유효하지 않은 토큰입니다",
  issuer = "발급자가 다릅니다",
  audience = "다른 서비스에 쓰는 토큰입니다",
  type = "액세스 토큰이 아닙니다",
  claims = "토큰 내용이 올바르지 않습니다",
}

local M = {}
local issuer, audience
local remembered, version = lru.new(REMEMBERED_MAX), 0

-- A name that stands twice in an object: parsers disagree on which one counts (RFC 8725 2.6). The text is valid JSON.
local function has_twice(text)
  local objects, at = {}, 1
  while true do
    local from, _, mark = text:find('([%[%]{}"])', at)
    if not from then return false end
    at = from + 1
    if mark == "{" or mark == "[" then
      objects[#objects + 1] = {}
    elseif mark == "}" or mark == "]" then
      objects[#objects] = nil
    else
      repeat
        local stop, _, what = text:find('(["\\])', at)
        at = stop + (what == "\\" and 2 or 1)
      until what == '"'
      if text:find("^%s*:", at) then
        local name = cjson.decode("[" .. text:sub(from, at - 1) .. "]")[1]
        local seen = objects[#objects]
        if seen[name] then return true end
        seen[name] = true
      end
    end
  end
end

local function object(part)
  local text = jwk.base64url(part)
  local json = text and cjson.decode(text)
  if type(json) ~= "table" or text:match("^%s*(.)") ~= "{" or has_twice(text) then return nil end
  return json
end

-- r and s of a JWS (RFC 7518 3.4) as OpenSSL wants them.
local function ecdsa_der(signature)
  if #signature ~= 64 then return nil end
  return jwk.sequence(jwk.integer(signature:sub(1, 32)) .. jwk.integer(signature:sub(33)))
end

local function is_signed(signed, signature, found)
  local bytes = jwk.base64url(signature)
  if bytes and found.alg == "ES256" then bytes = ecdsa_der(bytes) end
  if not bytes then return false end
  local is_done, is_good = pcall(found.key.verify, found.key, bytes, digest.new("sha256"):update(signed))
  return is_done and is_good == true
end

local function has(list, wanted)
  if list == wanted then return true end
  for _, one in ipairs(type(list) == "table" and list or {}) do
    if one == wanted then return true end
  end
  return false
end

local function is_whole(number) return type(number) == "number" and number == math.floor(number) and math.abs(number) < 2 ^ 53 end

local function header_fault(header)
  if not header or header.crit ~= nil or header.b64 ~= nil or type(header.alg) ~= "string" then return "malformed" end
  if header.alg ~= "RS256" and header.alg ~= "ES256" then return "algorithm" end
  local typ = type(header.typ) == "string" and header.typ:lower()
  if typ ~= "at+jwt" and typ ~= "application/at+jwt" then return "type" end
  if type(header.kid) ~= "string" then return "unknown_key" end
end

local function claims_fault(claims)
  if not claims then return "malformed" end
  if claims.iss ~= issuer then return "issuer" end
  if not has(claims.aud, audience) then return "audience" end
  if not is_whole(claims.exp) or claims.nbf ~= nil and not is_whole(claims.nbf) then return "claims" end
  if claims.exp <= ngx.time() - LEEWAY_S then return "expired" end
  if claims.nbf and claims.nbf > ngx.time() + LEEWAY_S then return "not_yet_valid" end
  if type(claims.sub) ~= "string" or claims.sub == "" or #claims.sub > 63 then return "claims" end
end

local function check(text)
  local head, body, signature = text:match("^([^.]+)%.([^.]+)%.([^.]+)$")
  if not head or #text > TOKEN_MAX then return nil, "malformed" end
  local header = object(head)
  local fault = header_fault(header)
  if fault then return nil, fault end
  local found = keys.find(header.kid)
  if found == "no_keys" then return nil, "no_keys" end
  if not found then return nil, "unknown_key" end
  if found.alg ~= header.alg then return nil, "algorithm" end
  if not is_signed(head .. "." .. body, signature, found) then return nil, "signature" end
  local claims = object(body)
  fault = claims_fault(claims)
  if fault then return nil, fault end
  return { account = claims.sub, exp = claims.exp }
end

-- The account that this Authorization header proves; else nil and what is wrong (nil: nothing was sent).
function M.account(authorization)
  if not authorization then return nil end
  if version ~= keys.version then
    remembered:flush_all()
    version = keys.version
  end
  local known = remembered:get(authorization)
  if known and known.exp > ngx.time() - LEEWAY_S then return known.account end
  if #authorization < 8 or authorization:sub(1, 7):lower() ~= "bearer " then return nil end
  local good, fault = check(authorization:sub(8))
  if not good then return nil, fault, DETAILS[fault] end
  if version == keys.version then remembered:set(authorization, good, math.max(1, good.exp + LEEWAY_S - ngx.time())) end
  return good.account
end

function M.configure(wanted_issuer, wanted_audience)
  issuer, audience = wanted_issuer, wanted_audience
end

return M
