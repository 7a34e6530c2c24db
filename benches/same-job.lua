-- The job of a gateway as one would write it in Lua: the pin header, the cookie,
-- a bucket, the tag, and a cookie for new users. It looks at the first `cookie`
-- line only, counts nothing, and its hash is simpler than SipHash.

local bit = require("bit")
local hex, band, rol = bit.tohex, bit.band, bit.rol
local versions = { blue = true, green = true }

local function bucket(id)
  local hash = 5381
  for i = 1, #id do
    hash = bit.bxor(rol(hash, 5), id:byte(i))
  end
  return tostring(band(hash, 0x7fffffff) % 100)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local pin = headers:get("x-version-pin")
  if pin and versions[pin] then
    headers:remove("x-bluegreen-bucket")
    return
  end
  local cookies = headers:get("cookie")
  local id = cookies and (cookies:match("^bluegreen%-id=(%x+)")
    or cookies:match("; ?bluegreen%-id=(%x+)"))
  if not id then
    id = hex(math.random(0, 0x7fffffff)) .. hex(math.random(0, 0x7fffffff))
    handle:streamInfo():dynamicMetadata():set("bluegreen", "minted", id)
  end
  headers:replace("x-bluegreen-bucket", bucket(id))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if not headers:get("x-served-version") then
    headers:add("x-served-version", "unknown")
  end
  local mine = handle:streamInfo():dynamicMetadata():get("bluegreen")
  if mine then
    headers:add("set-cookie", "bluegreen-id=" .. mine.minted
      .. "; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax")
  end
end
