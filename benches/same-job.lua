-- The job of a gateway as one would write it in Lua: the pin, the cookie, a bucket,
-- the tag, and a cookie for new users. It looks at the first `cookie` line only, counts
-- nothing, and its hash is simpler than SipHash.

local bit = require("bit")
local hex, band, rol = bit.tohex, bit.band, bit.rol

local function bucket(host, id)
  local hash = 5381
  local text = host .. "\0" .. id
  for i = 1, #text do
    hash = bit.bxor(rol(hash, 5), text:byte(i))
  end
  return tostring(band(hash, 0x7fffffff))
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local mine = handle:streamInfo():dynamicMetadata()
  local pin = headers:get("x-version-pin")
  if pin and pin:match("^[a-z0-9-]+$") then
    mine:set("bluegreen", "pinned", pin)
  end
  local cookies = headers:get("cookie")
  local id = cookies and (cookies:match("^bluegreen%-id=(%x+)")
    or cookies:match("; ?bluegreen%-id=(%x+)"))
  if not id then
    id = hex(math.random(0, 0x7fffffff)) .. hex(math.random(0, 0x7fffffff))
    mine:set("bluegreen", "minted", id)
    local cookie = "bluegreen-id=" .. id
    headers:replace("cookie", cookies and cookies .. "; " .. cookie or cookie)
  end
  headers:replace("x-bluegreen-bucket", bucket(headers:get(":authority"), id))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local route = headers:get("x-bluegreen-route")
  local version = route and route:match("^via_upstream [^|]*|[^|]*|([^|]+)|")
  if not version then
    return
  end
  if not headers:get("x-served-version") then
    headers:add("x-served-version", version)
  end
  local mine = handle:streamInfo():dynamicMetadata():get("bluegreen")
  if mine and mine.pinned then
    headers:replace("cache-control", "private, no-store")
  end
  if mine and mine.minted then
    headers:add("set-cookie", "bluegreen-id=" .. mine.minted
      .. "; Max-Age=34560000; Path=/; HttpOnly; SameSite=Lax")
  end
end
