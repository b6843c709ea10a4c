-- SPDX-License-Identifier: Apache-2.0
-- Public keys of a JWKS (RFC 7517) as OpenSSL's. Must never take a symmetric key, nor one whose use or algorithm says that it is for
-- something else.

local pkey = require "openssl.pkey"

local M = {}

function M.base64url(text)
  if type(text) ~= "string" or text:find("[^%w_-]") or #text % 4 == 1 then return nil end
  return ngx.decode_base64((text:gsub("%-", "+"):gsub("_", "/")) .. ("="):rep(-#text % 4))
end

-- ASN.1 in DER: a tag, a length, the value.
local function der(tag, value)
  local length = #value
  if length < 128 then return string.char(tag, length) .. value end
  if length < 256 then return string.char(tag, 0x81, length) .. value end
  return string.char(tag, 0x82, math.floor(length / 256), length % 256) .. value
end

function M.integer(bytes)
  bytes = bytes:gsub("^%z+", "")
  return der(0x02, (bytes == "" or bytes:byte() >= 0x80) and "\0" .. bytes or bytes)
end

M.sequence = function(value) return der(0x30, value) end

local RSA = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00" -- rsaEncryption
local P256 = "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07" -- ecPublicKey, prime256v1

local function public_info(algorithm, key) return M.sequence(algorithm .. der(0x03, "\0" .. key)) end

local function rsa(jwk)
  local n, e = M.base64url(jwk.n), M.base64url(jwk.e)
  if not n or not e or #n < 256 or #n > 1024 then return nil end -- 2,048 to 8,192 bits
  return public_info(RSA, M.sequence(M.integer(n) .. M.integer(e)))
end

local function ec(jwk)
  local x, y = M.base64url(jwk.x), M.base64url(jwk.y)
  if jwk.crv ~= "P-256" or not x or not y or #x ~= 32 or #y ~= 32 then return nil end
  return public_info(P256, "\4" .. x .. y)
end

local TYPES = { RSA = { alg = "RS256", read = rsa }, EC = { alg = "ES256", read = ec } }

-- { alg, key } or nil.
function M.import(jwk)
  local kind = type(jwk) == "table" and TYPES[jwk.kty]
  if not kind or type(jwk.kid) ~= "string" then return nil end
  if jwk.use ~= nil and jwk.use ~= "sig" or jwk.alg ~= nil and jwk.alg ~= kind.alg then return nil end
  local bytes = kind.read(jwk)
  if not bytes then return nil end
  local pem = "-----BEGIN PUBLIC KEY-----\n" .. ngx.encode_base64(bytes):gsub(("."):rep(64), "%0\n") .. "\n-----END PUBLIC KEY-----\n"
  local is_good, key = pcall(pkey.new, pem)
  return is_good and { alg = kind.alg, key = key } or nil
end

return M
