local function head(what, epoch, version, source)
    local now = redis.call('TIME')
    return what .. epoch .. struct.pack('>I8', version)
        .. struct.pack('>I8', now[1] * 1000 + math.floor(now[2] / 1000)) .. source
end
