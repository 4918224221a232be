// users.go: the users API on Go's net/http and database/sql: what a Go programmer writes with Debian's
// packages. usage: users PORT DATABASE; GOMAXPROCS, BENCH_SECRET, BENCH_HASH_KIB, BENCH_HASH_PASSES.
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"golang.org/x/crypto/argon2"
)

type user struct {
	ID       int64  `json:"id"`
	Username string `json:"username"`
	Email    string `json:"email"`
}

type claims struct {
	Subject string `json:"sub"`
	Expires int64  `json:"exp"`
}

var (
	standard    = base64.RawStdEncoding
	url         = base64.RawURLEncoding
	secret      = []byte(os.Getenv("BENCH_SECRET"))
	hashMemory  = number("BENCH_HASH_KIB", 65536)
	hashPasses  = number("BENCH_HASH_PASSES", 3)
	hashing     = make(chan struct{}, runtime.GOMAXPROCS(0)) // more at a time would only cost memory
	byID        *sql.Stmt
	byEmail     *sql.Stmt
	page        *sql.Stmt
	create      *sql.Stmt
	errPassword = errors.New("no argon2id text")
)

func number(name string, otherwise uint32) uint32 {
	n, err := strconv.ParseUint(os.Getenv(name), 10, 32)
	if err != nil {
		return otherwise
	}
	return uint32(n)
}

func answer(w http.ResponseWriter, status int, value interface{}) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

func complain(w http.ResponseWriter, status int, detail string) {
	answer(w, status, map[string]string{"detail": detail})
}

// ---- passwords and tokens ----

func argon(password string, salt []byte, memory, passes uint32) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, passes, memory, 1, 32)
}

func hashed(password string) string {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		panic(err)
	}
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", hashMemory, hashPasses,
		standard.EncodeToString(salt), standard.EncodeToString(argon(password, salt, hashMemory, hashPasses)))
}

func verify(password, hash string) error {
	var memory, passes uint32
	parts := strings.Split(hash, "$")
	if len(parts) != 6 {
		return errPassword
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=1", &memory, &passes); err != nil {
		return err
	}
	salt, err := standard.DecodeString(parts[4])
	if err != nil {
		return err
	}
	want, err := standard.DecodeString(parts[5])
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(argon(password, salt, memory, passes), want) != 1 {
		return errPassword
	}
	return nil
}

func mac(text string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func token(email string) string {
	payload, err := json.Marshal(claims{email, time.Now().Unix() + 1800})
	if err != nil {
		panic(err)
	}
	text := url.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + url.EncodeToString(payload)
	return text + "." + url.EncodeToString(mac(text))
}

func bearer(r *http.Request) (string, bool) {
	var c claims
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 {
		return "", false
	}
	given, err := url.DecodeString(parts[2])
	if err != nil || !hmac.Equal(given, mac(parts[0]+"."+parts[1])) {
		return "", false
	}
	payload, err := url.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil || c.Expires <= time.Now().Unix() {
		return "", false
	}
	return c.Subject, true
}

// ---- handlers ----

func hello(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		complain(w, 404, "Not Found")
		return
	}
	answer(w, 200, map[string]string{"message": "Olá Mundo!"})
}

func readUser(w http.ResponseWriter, row *sql.Row) {
	var u user
	if err := row.Scan(&u.ID, &u.Username, &u.Email); err == sql.ErrNoRows {
		complain(w, 404, "User not found")
	} else if err != nil {
		complain(w, 503, err.Error())
	} else {
		answer(w, 200, u)
	}
}

func readUsers(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil {
		limit = 100
	}
	offset, err := strconv.Atoi(query.Get("offset"))
	if err != nil {
		offset = 0
	}
	rows, err := page.Query(limit, offset)
	if err != nil {
		complain(w, 503, err.Error())
		return
	}
	defer rows.Close()
	users := make([]user, 0, 100)
	for rows.Next() {
		var u user
		if err := rows.Scan(&u.ID, &u.Username, &u.Email); err != nil {
			complain(w, 503, err.Error())
			return
		}
		users = append(users, u)
	}
	answer(w, 200, map[string][]user{"users": users})
}

func signUp(w http.ResponseWriter, r *http.Request) {
	var in struct{ Username, Email, Password string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Username == "" || in.Email == "" {
		complain(w, 422, "not understood")
		return
	}
	result, err := create.Exec(in.Username, in.Email, hashed(in.Password))
	if err != nil {
		complain(w, 409, err.Error())
		return
	}
	id, err := result.LastInsertId()
	if err != nil {
		complain(w, 503, err.Error())
		return
	}
	answer(w, 201, user{id, in.Username, in.Email})
}

func users(w http.ResponseWriter, r *http.Request) {
	rest := strings.TrimPrefix(r.URL.Path, "/users/")
	if rest == "" && r.Method == "POST" {
		signUp(w, r)
	} else if rest == "" {
		readUsers(w, r)
	} else if id, err := strconv.ParseInt(rest, 10, 64); err == nil {
		readUser(w, byID.QueryRow(id))
	} else {
		complain(w, 422, "not a number")
	}
}

func whoAmI(w http.ResponseWriter, r *http.Request) {
	if email, ok := bearer(r); ok {
		var hash string
		var u user
		if byEmail.QueryRow(email).Scan(&u.ID, &u.Username, &u.Email, &hash) == nil {
			answer(w, 200, u)
			return
		}
	}
	complain(w, 401, "Could not validate credentials")
}

func logIn(w http.ResponseWriter, r *http.Request) {
	var hash string
	var u user
	err := byEmail.QueryRow(r.FormValue("username")).Scan(&u.ID, &u.Username, &u.Email, &hash)
	if err != nil || verify(r.FormValue("password"), hash) != nil {
		complain(w, 401, "Incorrect email or password")
		return
	}
	answer(w, 200, struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
	}{token(u.Email), "bearer"})
}

func main() {
	if len(os.Args) != 3 || len(secret) == 0 {
		log.Fatal("usage: BENCH_SECRET=… users PORT DATABASE")
	}
	db, err := sql.Open("sqlite3", "file:"+os.Args[2]+
		"?_busy_timeout=5000&_mutex=no&_journal_mode=WAL&_synchronous=FULL")
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	prepare := func(text string) *sql.Stmt {
		statement, err := db.Prepare(text)
		if err != nil {
			log.Fatal(err)
		}
		return statement
	}
	byID = prepare("SELECT id, username, email FROM users WHERE id = ?")
	byEmail = prepare("SELECT id, username, email, password FROM users WHERE email = ?")
	page = prepare("SELECT id, username, email FROM users ORDER BY id LIMIT ? OFFSET ?")
	create = prepare("INSERT INTO users (username, email, password) VALUES (?, ?, ?)")
	http.HandleFunc("/", hello)
	http.HandleFunc("/users/", users)
	http.HandleFunc("/users/me", whoAmI)
	http.HandleFunc("/auth/token", logIn)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
