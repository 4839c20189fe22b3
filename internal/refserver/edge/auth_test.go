package edge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/edgeload/edgeload/internal/wire"
)

const testSecret = "super-secret-jwt-token-with-at-least-32-characters"

// sign makes a token as no MintKey would.
func sign(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// mint is MintKey for an hour.
func mint(t testing.TB, role Role) string {
	t.Helper()
	key, err := MintKey([]byte(testSecret), role, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAuth(t *testing.T) {
	var log bytes.Buffer
	newServer := func(auth *Auth) *Server {
		s := New(Options{
			Functions: []Function{Shared("f", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write([]byte(InvocationOf(r.Context()).Role()))
			}))},
			Admin: say("admin"), Auth: auth, Limits: limitsOf(t, "guide"),
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(time.Hour).Unix()
	expired := sign(t, jwt.SigningMethodHS256, []byte(testSecret), jwt.MapClaims{"role": "service_role", "exp": time.Now().Add(-time.Minute).Unix()})
	early := sign(t, jwt.SigningMethodHS256, []byte(testSecret), jwt.MapClaims{"role": "service_role", "nbf": hour})
	unsigned := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"role": "service_role"})
	forged := sign(t, jwt.SigningMethodHS256, []byte("another secret"), jwt.MapClaims{"role": "service_role", "exp": hour})
	longer := sign(t, jwt.SigningMethodHS512, []byte(testSecret), jwt.MapClaims{"role": "service_role", "exp": hour})
	asymmetric := sign(t, jwt.SigningMethodES256, ec, jwt.MapClaims{"role": "service_role", "exp": hour})
	roleless := sign(t, jwt.SigningMethodHS256, []byte(testSecret), jwt.MapClaims{"exp": hour})
	anon, user, service := mint(t, RoleAnon), mint(t, RoleAuthenticated), mint(t, RoleService)
	tampered := service[:strings.LastIndexByte(service, '.')] + anon[strings.LastIndexByte(anon, '.'):]

	verifying, open, none := newServer(&Auth{Secret: []byte(testSecret), VerifyJWT: true}), newServer(&Auth{Secret: []byte(testSecret)}), newServer(nil)
	unkeyed := newServer(&Auth{VerifyJWT: true})
	emptySigned := sign(t, jwt.SigningMethodHS256, []byte{}, jwt.MapClaims{"role": "service_role", "exp": hour})
	f, admin := PathFunctions+"f", wire.PathAdmin+"truth"
	for name, tc := range map[string]struct {
		server       *Server
		path, header string
		status       int
		code, body   string
	}{
		"anon":                      {verifying, f, "Bearer " + anon, 200, "", "anon"},
		"authenticated":             {verifying, f, "bearer " + user, 200, "", "authenticated"},
		"service_role":              {verifying, f, "Bearer " + service, 200, "", "service_role"},
		"nothing":                   {verifying, f, "", 401, CodeNoAuthHeader, ""},
		"not bearer":                {verifying, f, "Basic eDp5", 401, CodeInvalidJWTFormat, ""},
		"a token alone":             {verifying, f, anon, 401, CodeInvalidJWTFormat, ""},
		"no JWT":                    {verifying, f, "Bearer sb_secret_abc", 401, CodeInvalidJWTFormat, ""},
		"garbage in three parts":    {verifying, f, "Bearer a.b.c", 401, CodeInvalidJWTFormat, ""},
		"expired":                   {verifying, f, "Bearer " + expired, 401, CodeLegacyJWT, ""},
		"not yet":                   {verifying, f, "Bearer " + early, 401, CodeLegacyJWT, ""},
		"forged":                    {verifying, f, "Bearer " + forged, 401, CodeLegacyJWT, ""},
		"another's signature":       {verifying, f, "Bearer " + tampered, 401, CodeLegacyJWT, ""},
		"no role":                   {verifying, f, "Bearer " + roleless, 401, CodeLegacyJWT, ""},
		"alg none":                  {verifying, f, "Bearer " + unsigned, 401, CodeUnsupportedAlgorithm, ""},
		"HS512":                     {verifying, f, "Bearer " + longer, 401, CodeUnsupportedAlgorithm, ""},
		"ES256":                     {verifying, f, "Bearer " + asymmetric, 401, CodeAsymmetricJWT, ""},
		"empty secret":              {unkeyed, f, "Bearer " + emptySigned, 401, CodeLegacyJWT, ""},
		"open":                      {open, f, "", 200, "", ""},
		"open, with a bad token":    {open, f, "Bearer " + forged, 200, "", ""},
		"admin":                     {open, admin, "Bearer " + service, 200, "", "admin"},
		"admin without a token":     {open, admin, "", 401, CodeNoAuthHeader, ""},
		"admin with a forged token": {open, admin, "Bearer " + forged, 401, CodeLegacyJWT, ""},
		"admin as anon":             {open, admin, "Bearer " + anon, 403, "", "service_role alone"},
		"admin as a user":           {verifying, admin, "Bearer " + user, 403, "", "service_role alone"},
		"admin without a secret":    {none, admin, "Bearer " + service, 403, "", "no JWT secret"},
		"admin, empty secret":       {unkeyed, admin, "Bearer " + emptySigned, 403, "", "no JWT secret"},
	} {
		var headers []string
		if tc.header != "" {
			headers = []string{"Authorization", tc.header}
		}
		rec := do(tc.server, http.MethodGet, tc.path, headers...)
		if rec.Code != tc.status || rec.Header().Get(HeaderErrorCode) != tc.code || !strings.Contains(rec.Body.String(), tc.body) {
			t.Errorf("%s: %d %q %s, want %d %q", name, rec.Code, rec.Header().Get(HeaderErrorCode), rec.Body, tc.status, tc.code)
		}
		log.WriteString(rec.Body.String())
	}
	if rec := do(verifying, http.MethodOptions, f); rec.Code != 200 {
		t.Errorf("OPTIONS: %d", rec.Code)
	}
	if rec := do(verifying, http.MethodGet, PathFunctions+"nope"); rec.Code != 404 {
		t.Errorf("a function that is not served: %d", rec.Code)
	}
	for _, secret := range []string{testSecret, anon, user, service, expired, early, forged, longer, asymmetric, tampered, unsigned} {
		for _, part := range append(strings.Split(secret, "."), secret) {
			if len(part) > 40 && strings.Contains(log.String(), part) { // headers are no secret
				t.Errorf("the log or an answer has %q", part)
			}
		}
	}
}

func TestMintKeyRefuses(t *testing.T) {
	if _, err := MintKey(nil, RoleAnon, time.Now()); err == nil {
		t.Error("an empty secret signs")
	}
	if _, err := MintKey([]byte(testSecret), "root", time.Now()); err == nil || strings.Contains(err.Error(), testSecret) {
		t.Errorf("role root: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("Bearer " + mint(f, RoleAnon))
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.")
	auth := &Auth{Secret: []byte(testSecret)}
	f.Fuzz(func(t *testing.T, header string) {
		role, refusal := auth.verify(header)
		if (role == "") != (refusal != nil) {
			t.Fatalf("%q: %q, %v", header, role, refusal)
		}
		if refusal != nil && !strings.HasPrefix(refusal.code, "UNAUTHORIZED_") {
			t.Fatalf("%q: %v", header, refusal)
		}
	})
}
